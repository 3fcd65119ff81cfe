/* The folders of an installation, its secret tmpfs and its master key. Root; before any role. */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "wire/settings.h"

/* Makes what is missing and mends owners and modes; safe to repeat. */
int place_make(const struct settings *s, struct err *err) MUST_CHECK;
/* 32 random bytes in data_dir/master.key, root only, made when absent; E_KEY_WRONG when it is
 * absent though there is a store whose secrets it sealed. */
int place_key(const struct settings *s, struct err *err) MUST_CHECK;
/* An fd on the key, at its begin. */
int place_key_open(const struct settings *s, int *ret_fd, struct err *err) MUST_CHECK;
/* Is something mounted on this folder? */
bool place_is_mounted(const char *path);
