/* struct buf: a growing byte string with a ceiling. Everything whose size comes from outside is
 * gathered in one. Past the ceiling an append fails (E_TOO_LARGE at the caller) and leaves the
 * content as it was; `failed` stays set, so a run of appends may be checked once at the end.
 * The data is always NUL-terminated (one byte beyond length). Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

struct buf {
    char *data; /* NULL while empty and never written */
    size_t length;
    size_t capacity;
    size_t ceiling; /* 0: unlimited; only for what we size ourselves */
    bool failed;
};
#define BUF_INIT(ceiling_)                                                                         \
    {                                                                                              \
        .ceiling = (ceiling_)                                                                      \
    }
void buf_init(struct buf *b, size_t ceiling);
void buf_done(struct buf *b);  /* frees; may be called on a zeroed buf */
void buf_clear(struct buf *b); /* keeps memory */
int buf_add(struct buf *b, const void *data, size_t length); /* 0, or -1 past the ceiling */
int buf_add_text(struct buf *b, const char *text);
int buf_add_str(struct buf *b, struct str s);
int buf_add_char(struct buf *b, char c);
int buf_add_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_add_json_string(struct buf *b,
                        struct str s); /* quoted and escaped; bad UTF-8 becomes U+FFFD */
void buf_add_json_escape(struct buf *b, uint32_t character); /* as it stands within a string */
void buf_consume(struct buf *b, size_t length);              /* drop from the front */
char *buf_take(struct buf *b); /* heap string, caller frees; the buf is empty after; never NULL */
struct str buf_str(const struct buf *b);
static inline void buf_donep(struct buf *b)
{
    buf_done(b);
}
#define AUTO_BUF __attribute__((cleanup(buf_donep))) struct buf
