/* struct ring: entries in the order they came, in chunks; past its ceiling the oldest chunk goes.
 * Memory is taken only when something is stored. All rings together have a ceiling, too: then the
 * largest ring gives up its oldest chunk. Loop thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

#define RING_CHUNK ((size_t)32 << 10)
#define RING_TEXT_MAX ((size_t)16 << 10)
#define RING_ALL_MAX ((size_t)48 << 20)

struct ring_entry { /* as it lies in a chunk; 8-byte aligned */
    uint32_t size;  /* of the whole entry */
    uint32_t release;
    int64_t seq;
    int64_t at_ms;
    uint16_t name_length;
    uint16_t text_length; /* RING_TEXT_MAX fits */
    uint8_t stream;       /* 1 stdout, 2 stderr, 0 a request */
    char bytes[];         /* name, text */
};
struct ring_chunk;
struct ring {
    struct ring *next_ring; /* of all that hold something */
    struct ring_chunk *first;
    struct ring_chunk *last;
    size_t bytes; /* of its chunks */
    size_t ceiling;
    int64_t last_seq;
    int64_t added;       /* entries that ever came: the place of the next one */
    int64_t dropped;     /* entries that went: the place of the first that is left */
    int64_t dropped_seq; /* the number of the last that went */
};
void ring_init(struct ring *r, size_t ceiling);
void ring_done(struct ring *r);
struct ring_new {
    uint32_t release;
    uint8_t stream;
    int64_t at_ms;
    struct str name; /* cut at 255 bytes */
    struct str text; /* cut at RING_TEXT_MAX */
};
/* Stores a copy, with the next number of the whole process. */
void ring_add(struct ring *r, const struct ring_new *entry);
/* Walk: NULL first, then what came last; NULL at the end. The ring must not change meanwhile. */
struct ring_cursor {
    const struct ring_chunk *chunk;
    size_t offset;
};
const struct ring_entry *ring_next(const struct ring *r, struct ring_cursor *cursor);
/* A cursor before the first entry with a number above `after`, skipping whole chunks. */
struct ring_cursor ring_seek(const struct ring *r, int64_t after);
static inline struct str ring_name(const struct ring_entry *e)
{
    return (struct str){e->bytes, e->name_length};
}
static inline struct str ring_text(const struct ring_entry *e)
{
    return (struct str){e->bytes + e->name_length, e->text_length};
}
size_t ring_all_bytes(void);
/* Numbers go on upwards over restarts: they begin at the wall clock's microseconds. */
int64_t ring_seq_now(void);
int64_t ring_seq_first(void); /* all of this process are above it, those of one before are not */
