/* struct map: string keys to pointers; keys are copied, values belong to the caller. Iteration
 * order is insertion order as long as nothing was removed. Any thread, no locks. */
#pragma once
#include <stddef.h>

struct map_entry {
    char *key;
    void *value;
};
struct map {
    struct map_entry *entries; /* dense, `count` of them */
    size_t count;
    size_t capacity;
    size_t *slots; /* open addressing, index + 1 into entries */
    size_t slot_count;
};
void map_init(struct map *m);
void map_done(struct map *m);                        /* frees keys, not values */
void *map_get(const struct map *m, const char *key); /* NULL when absent */
void *map_put(struct map *m, const char *key,
              void *value);                       /* returns the value replaced, or NULL */
void *map_remove(struct map *m, const char *key); /* returns the value removed, or NULL */
/* for (size_t i = 0; i < m->count; i++) m->entries[i]...; do not change the map meanwhile. */
