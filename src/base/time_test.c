/* Times as text, random numbers, allocation of nothing. */
#include "base/time.h"
#include <string.h>
#include "base/mem.h"
#include "base/tap.h"

TEST(formats_times)
{
    char text[25];
    time_format(0, text);
    IS_STR(text, "1970-01-01T00:00:00.000Z");
    time_format(1795193414123, text);
    IS_STR(text, "2026-11-20T16:50:14.123Z");
    time_format(-5, text);
    IS_STR(text, "1970-01-01T00:00:00.000Z");
    time_format(INT64_MAX, text);
    IS_STR(text, "9999-12-31T23:59:59.999Z");
}

TEST(draws_random_hex)
{
    char a[33], b[33];
    random_hex(clock_system(), 16, a);
    random_hex(clock_system(), 16, b);
    IS_INT(strlen(a), 32);
    OK(strcmp(a, b) != 0);
    IS_INT(strspn(a, "0123456789abcdef"), 32);
}

static int64_t fixed_time(void *context)
{
    return *(int64_t *)context;
}

static void fixed_bytes(void *context, void *bytes, size_t count)
{
    (void)context;
    memset(bytes, 0xa5, count);
}

TEST(takes_another_clock)
{
    int64_t now = 42;
    struct clock c = {
        .wall_ms = fixed_time, .mono_ms = fixed_time, .random = fixed_bytes, .context = &now};
    char text[5];
    IS_INT(clock_wall_ms(&c), 42);
    now = 43;
    IS_INT(clock_mono_ms(&c), 43);
    random_hex(&c, 2, text);
    IS_STR(text, "a5a5");
}

TEST(monotonic_time_does_not_go_back)
{
    int64_t before = clock_mono_us();
    OK(clock_mono_us() >= before);
    OK(clock_wall_ms(clock_system()) > 1600000000000);
}

TEST(allocates_nothing_and_texts)
{
    AUTO_FREE char *nothing = mem_alloc(0);
    AUTO_FREE char *cut = mem_strndup("abc", 2);
    AUTO_FREE char *all = mem_strndup("abc", 9);
    AUTO_FREE char *text = mem_format("%d-%s", 1, "x");
    OK(nothing != NULL);
    IS_STR(cut, "ab");
    IS_STR(all, "abc");
    IS_STR(text, "1-x");
    char *moved = TAKE(text);
    OK(text == NULL);
    free(moved);
}

TAP_MAIN()
