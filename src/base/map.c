/* The hash map: a dense array of entries and a table of indexes into it (open addressing, linear
 * probing, at most half full). Keys may come from outside, so the hash is SipHash-1-3 with a key
 * drawn once per process: nobody can prepare keys that collide. */
#include "base/map.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"

static uint64_t map_hash_key[2];
static pthread_once_t map_hash_once = PTHREAD_ONCE_INIT;

static void map_hash_draw(void)
{
    clock_random(clock_system(), map_hash_key, sizeof(map_hash_key));
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t map_hash(const char *key)
{
    uint64_t v[4] = {map_hash_key[0] ^ 0x736f6d6570736575u, map_hash_key[1] ^ 0x646f72616e646f6du,
                     map_hash_key[0] ^ 0x6c7967656e657261u, map_hash_key[1] ^ 0x7465646279746573u};
    size_t length = strlen(key);
    for (size_t i = 0; i <= length; i += 8) {
        uint64_t word = 0;
        size_t left = length - i;
        memcpy(&word, key + i, left < 8 ? left : 8);
        if (left < 8)
            word |= (uint64_t)length << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot that holds the key, or the free one where it would go. */
static size_t map_slot(const struct map *m, const char *key)
{
    size_t mask = m->slot_count - 1;
    size_t slot = (size_t)map_hash(key) & mask;
    while (m->slots[slot] && strcmp(m->entries[m->slots[slot] - 1].key, key) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static void map_grow(struct map *m)
{
    (void)pthread_once(&map_hash_once, map_hash_draw);
    m->capacity = m->capacity ? m->capacity * 2 : 8;
    m->entries = mem_resize(m->entries, m->capacity, sizeof(*m->entries));
    free(m->slots);
    m->slot_count = m->capacity * 2;
    m->slots = mem_array(m->slot_count, sizeof(*m->slots));
    for (size_t i = 0; i < m->count; i++)
        m->slots[map_slot(m, m->entries[i].key)] = i + 1;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_done(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->slots);
    map_init(m);
}

void *map_get(const struct map *m, const char *key)
{
    if (m->count == 0)
        return NULL;
    size_t index = m->slots[map_slot(m, key)];
    return index ? m->entries[index - 1].value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
    ASSERT(key);
    if (m->count == m->capacity)
        map_grow(m);
    size_t slot = map_slot(m, key);
    if (m->slots[slot]) {
        struct map_entry *entry = &m->entries[m->slots[slot] - 1];
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    m->entries[m->count] = (struct map_entry){mem_strdup(key), value};
    m->slots[slot] = ++m->count;
    return NULL;
}

/* Empty a slot and move back those behind it that probing would no longer reach. */
static void map_free_slot(struct map *m, size_t hole)
{
    size_t mask = m->slot_count - 1;
    for (size_t slot = (hole + 1) & mask; m->slots[slot]; slot = (slot + 1) & mask) {
        size_t home = (size_t)map_hash(m->entries[m->slots[slot] - 1].key) & mask;
        if (((slot - home) & mask) < ((slot - hole) & mask))
            continue;
        m->slots[hole] = m->slots[slot];
        hole = slot;
    }
    m->slots[hole] = 0;
}

void *map_remove(struct map *m, const char *key)
{
    if (m->count == 0)
        return NULL;
    size_t slot = map_slot(m, key);
    if (!m->slots[slot])
        return NULL;
    size_t index = m->slots[slot] - 1, last = m->count - 1;
    struct map_entry gone = m->entries[index];
    /* The last entry takes the place, to keep the array dense. */
    m->slots[map_slot(m, m->entries[last].key)] = index + 1;
    m->entries[index] = m->entries[last];
    map_free_slot(m, slot);
    m->count--;
    free(gone.key);
    return gone.value;
}
