/* The arena: a list of blocks, the newest first; allocation moves a mark in the newest one. A block
 * doubles the one before it, up to 256 KiB; a larger request gets a block of its own size. */
#include "base/arena.h"
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/check.h"
#include "base/mem.h"

#define ARENA_FIRST 4096
#define ARENA_LARGEST (256 * 1024)

struct arena_block {
    struct arena_block *previous;
    size_t used;
    size_t size;
    alignas(16) unsigned char bytes[];
};

void arena_init(struct arena *a)
{
    a->last = NULL;
}

void arena_done(struct arena *a)
{
    if (!a)
        return;
    while (a->last) {
        struct arena_block *block = a->last;
        a->last = block->previous;
        free(block);
    }
}

static void arena_grow(struct arena *a, size_t size)
{
    size_t block_size = a->last ? a->last->size * 2 : ARENA_FIRST;
    if (block_size > ARENA_LARGEST)
        block_size = ARENA_LARGEST;
    if (block_size < size)
        block_size = size;
    struct arena_block *block = mem_alloc(sizeof(*block) + block_size);
    block->previous = a->last;
    block->size = block_size;
    a->last = block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    ASSERT(size <= SIZE_MAX / 2);
    size = (size + 15) & ~(size_t)15;
    if (!a->last || a->last->size - a->last->used < size)
        arena_grow(a, size);
    void *memory = a->last->bytes + a->last->used;
    a->last->used += size;
    return memory; /* blocks come zeroed and no byte is given twice */
}

char *arena_dup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.length + 1);
    if (s.length)
        memcpy(copy, s.data, s.length);
    return copy;
}

char *arena_format(struct arena *a, const char *format, ...)
{
    va_list arguments, again;
    ASSERT(format); /* gcc's warning asks for it when sanitizers are on */
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    char *text = arena_alloc(a, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
