/* The arena: alignment, zeroing, growth, and that nothing overlaps. */
#include "base/arena.h"
#include <stdint.h>
#include <string.h>
#include "base/mem.h"
#include "base/tap.h"

TEST(gives_aligned_zeroed_memory)
{
    struct arena a;
    arena_init(&a);
    bool right = true;
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = arena_alloc(&a, size);
        right = right && (uintptr_t)p % 16 == 0;
        for (size_t i = 0; i < size; i++)
            right = right && p[i] == 0;
        memset(p, 0xaa, size);
    }
    OK(right);
    arena_done(&a);
    arena_done(&a);
}

TEST(serves_large_requests)
{
    struct arena a;
    arena_init(&a);
    unsigned char *large = arena_alloc(&a, 3u << 20);
    large[(3u << 20) - 1] = 1;
    char *small = arena_dup(&a, STR("after"));
    IS_STR(small, "after");
    IS_INT(large[(3u << 20) - 1], 1);
    arena_done(&a);
}

TEST(copies_and_formats)
{
    struct arena a;
    arena_init(&a);
    IS_STR(arena_dup(&a, (struct str){"abcdef", 3}), "abc");
    IS_STR(arena_dup(&a, (struct str){NULL, 0}), "");
    IS_STR(arena_format(&a, "%s-%d", "x", 12), "x-12");
    IS_INT(strlen(arena_format(&a, "%9000d", 1)), 9000);
    arena_done(&a);
}

TAP_MAIN()
