/* What `slipway serve` and `slipway down` share. */
#pragma once
#include "base/err.h"
#include "wire/settings.h"

/* One of them at a time for an installation: the lock is held until *ret_fd is closed. SERVE_BUSY
 * when another has it. */
#define SERVE_BUSY 1
int serve_lock(const struct settings *s, int *ret_fd, struct err *err) MUST_CHECK;
