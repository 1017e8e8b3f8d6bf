// What headers of single operators name and do not use, though it takes longer to compile than they do, is left out
// while torch/types.h includes them; whoever else asks gets PyTorch's own.
#ifndef LONGODDS_OPERATORS_ALONE
#include_next <ATen/DeviceGuard.h>
#endif
