/* See ring.h. */
#include "signals/ring.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"

struct ring_chunk {
    struct ring_chunk *next;
    size_t used;
    int64_t last_seq;
    int64_t count;
    _Alignas(8) char data[];
};
static struct ring *rings; /* with at least one chunk */
static size_t all_bytes;
static int64_t seq;
static int64_t seq_first; /* where this process began */

void ring_init(struct ring *r, size_t ceiling)
{
    ASSERT(ceiling >= 2 * RING_CHUNK);
    *r = (struct ring){.ceiling = ceiling};
}

static void ring_unlist(struct ring *r)
{
    for (struct ring **link = &rings; *link; link = &(*link)->next_ring) {
        if (*link != r)
            continue;
        *link = r->next_ring;
        return;
    }
}

static void chunk_drop(struct ring *r)
{
    struct ring_chunk *chunk = r->first;
    r->first = chunk->next;
    r->bytes -= RING_CHUNK;
    all_bytes -= RING_CHUNK;
    r->dropped += chunk->count;
    r->dropped_seq = chunk->last_seq;
    free(chunk);
    if (r->first)
        return;
    r->last = NULL;
    ring_unlist(r);
}

void ring_done(struct ring *r)
{
    while (r->first)
        chunk_drop(r);
}

static struct ring *ring_largest(void)
{
    struct ring *largest = rings;
    for (struct ring *r = rings; r; r = r->next_ring)
        if (r->bytes > largest->bytes)
            largest = r;
    return largest;
}

static struct ring_chunk *chunk_new(struct ring *r)
{
    struct ring_chunk *chunk;
    while (r->bytes + RING_CHUNK > r->ceiling)
        chunk_drop(r);
    while (all_bytes + RING_CHUNK > RING_ALL_MAX)
        chunk_drop(ring_largest());
    chunk = mem_alloc(RING_CHUNK);
    if (r->last) {
        r->last->next = chunk;
    } else {
        r->first = chunk;
        r->next_ring = rings;
        rings = r;
    }
    r->last = chunk;
    r->bytes += RING_CHUNK;
    all_bytes += RING_CHUNK;
    return chunk;
}

int64_t ring_seq_now(void)
{
    if (!seq)
        seq = seq_first = clock_wall_ms(clock_system()) * 1000;
    return seq;
}

int64_t ring_seq_first(void)
{
    (void)ring_seq_now();
    return seq_first;
}

static size_t cut(size_t length, size_t most)
{
    return length > most ? most : length;
}

void ring_add(struct ring *r, const struct ring_new *entry)
{
    size_t name = cut(entry->name.length, 255);
    size_t text = cut(entry->text.length, RING_TEXT_MAX);
    size_t size = (sizeof(struct ring_entry) + name + text + 7) & ~(size_t)7;
    struct ring_chunk *chunk = r->last;
    size_t room = RING_CHUNK - sizeof(struct ring_chunk);
    if (!chunk || chunk->used + size > room)
        chunk = chunk_new(r);
    struct ring_entry *e = (struct ring_entry *)(void *)(chunk->data + chunk->used);
    *e = (struct ring_entry){.size = (uint32_t)size, .release = entry->release};
    e->seq = ring_seq_now() + 1;
    e->at_ms = entry->at_ms;
    e->stream = entry->stream;
    e->name_length = (uint16_t)name;
    e->text_length = (uint16_t)text;
    if (name)
        memcpy(e->bytes, entry->name.data, name);
    if (text)
        memcpy(e->bytes + name, entry->text.data, text);
    chunk->used += size;
    chunk->count++;
    r->added++;
    r->last_seq = chunk->last_seq = seq = e->seq;
}

const struct ring_entry *ring_next(const struct ring *r, struct ring_cursor *cursor)
{
    if (!cursor->chunk) {
        cursor->chunk = r->first;
        cursor->offset = 0;
    }
    while (cursor->chunk && cursor->offset >= cursor->chunk->used) {
        if (!cursor->chunk->next)
            return NULL;
        cursor->chunk = cursor->chunk->next;
        cursor->offset = 0;
    }
    if (!cursor->chunk)
        return NULL;
    const struct ring_entry *e =
        (const struct ring_entry *)(const void *)(cursor->chunk->data + cursor->offset);
    cursor->offset += e->size;
    return e;
}

struct ring_cursor ring_seek(const struct ring *r, int64_t after)
{
    struct ring_cursor cursor = {.chunk = r->first};
    while (cursor.chunk && cursor.chunk->last_seq <= after && cursor.chunk->next)
        cursor.chunk = cursor.chunk->next;
    struct ring_cursor before = cursor;
    const struct ring_entry *e;
    while ((e = ring_next(r, &cursor)) && e->seq <= after)
        before = cursor;
    return before;
}

size_t ring_all_bytes(void)
{
    return all_bytes;
}
