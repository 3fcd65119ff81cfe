/* struct secret: bytes that must not be seen. It has no printer; json and log show "***" because
 * nothing else can be got from it by accident; memory is wiped on release. Any thread. */
#pragma once
#include <stddef.h>
#include "base/str.h"

struct secret {
    char *data; /* NUL-terminated */
    size_t length;
};
void secret_set(struct secret *s, const void *data, size_t length); /* copies; wipes what it held */
void secret_done(struct secret *s);
struct str secret_str(const struct secret *s); /* a view: do not keep, do not log */
static inline void secret_donep(struct secret *s)
{
    secret_done(s);
}
#define AUTO_SECRET __attribute__((cleanup(secret_donep))) struct secret
