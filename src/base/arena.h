/* struct arena: memory that lives as long as one request or one tick and is freed at once.
 * Any thread, no locks. Allocation never fails (see base/mem.h). */
#pragma once
#include <stddef.h>
#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *last;
};
void arena_init(struct arena *a);
void arena_done(struct arena *a);
void *arena_alloc(struct arena *a, size_t size); /* zeroed, 16-byte aligned */
char *arena_dup(struct arena *a, struct str s);  /* NUL-terminated */
char *arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
