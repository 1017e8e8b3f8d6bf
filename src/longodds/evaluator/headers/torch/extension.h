// What kernels use of torch/extension.h. Found before PyTorch's own; where it does not do, that one is used.
#pragma once

#include <torch/types.h>

#ifndef __CUDACC__
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>
#endif
