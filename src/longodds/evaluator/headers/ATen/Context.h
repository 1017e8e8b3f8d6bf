// As DeviceGuard.h.
#ifndef LONGODDS_OPERATORS_ALONE
#include_next <ATen/Context.h>
#endif
