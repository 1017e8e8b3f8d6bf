// What kernels use of torch/types.h: tensors, how to make them, element types, dispatch. See extension.h.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#define LONGODDS_OPERATORS_ALONE
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#undef LONGODDS_OPERATORS_ALONE

namespace at {
// As ATen/DeviceGuard.h has it of a tensor; a template, so that one may include that as well.
template <typename T, std::enable_if_t<std::is_same_v<T, Tensor>, int> = 0>
inline std::optional<Device> device_of(const T& t) {
  return t.defined() ? std::optional<Device>(t.device()) : std::nullopt;
}
}  // namespace at

namespace torch {
using namespace at;  // NOLINT: as PyTorch's own header does

constexpr auto kUInt8 = at::kByte;
constexpr auto kInt8 = at::kChar;
constexpr auto kInt16 = at::kShort;
constexpr auto kInt32 = at::kInt;
constexpr auto kInt64 = at::kLong;
constexpr auto kFloat16 = at::kHalf;
constexpr auto kFloat32 = at::kFloat;
constexpr auto kFloat64 = at::kDouble;
using Dtype = at::ScalarType;
}  // namespace torch
