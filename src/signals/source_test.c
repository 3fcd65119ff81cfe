#include "signals/source.h"
#include <fcntl.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "io/loop.h"

static void fresh(void)
{
}
static bool followed(void)
{
    return true; /* look often */
}

static int file_make(const char *name)
{
    AUTO_FREE char *path = mem_format("%s/%s", tap_dir(), name);
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(int fd, const char *text)
{
    OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static bool follow(const char *instance, int fd)
{
    struct err err = ERR_INIT;
    struct source_new n = {instance, "shop.dev", 42, dup(fd)};
    return source_open(&n, &err) == 0;
}

static size_t lines(struct ring_cursor *last, const struct ring_entry **ret_last)
{
    const struct app_env *a = app_env_get("shop.dev");
    const struct ring_entry *e;
    struct ring_cursor cursor = {NULL, 0};
    size_t count = 0;
    (void)last;
    while (a && (e = ring_next(&a->lines, &cursor))) {
        *ret_last = e;
        count++;
    }
    return count;
}

static const struct ring_entry *wait_lines(size_t wanted)
{
    const struct ring_entry *last = NULL;
    int64_t end = clock_mono_ms(clock_system()) + 2000;
    while (lines(NULL, &last) < wanted && clock_mono_ms(clock_system()) < end)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    IS_INT(lines(NULL, &last), wanted);
    return last;
}

TEST(reads_lines_of_conmon)
{
    struct source_line line;
    OK(source_scan(STR("2026-11-20T16:50:14.123456789+00:00 stdout F hello  world"), &line));
    IS_INT(line.at_ms, 1795193414123);
    OK(str_is(line.text, "hello  world") && line.stream == 1 && !line.partial);
    OK(source_scan(STR("2026-11-20T16:50:14.5Z stderr P "), &line));
    IS_INT(line.at_ms, 1795193414500);
    OK(line.text.length == 0 && line.stream == 2 && line.partial);
    OK(source_scan(STR("2026-11-21T00:50:14.123456789+08:00 stdout F x"), &line));
    IS_INT(line.at_ms, 1795193414123);
    OK(!source_scan(STR("hello"), &line));
    OK(!source_scan(STR("2026-11-20T16:50:14Z stdin F x"), &line));
    OK(!source_scan(STR("2026-1x-20T16:50:14Z stdout F x"), &line));
    OK(!source_scan(STR(""), &line));
}

static bool waits(const struct app_env *a)
{
    (void)a;
    return false;
}

TEST(follows_a_file_and_joins_parts)
{
    AUTO_CLOSE int fd = file_make("log");
    source_start(&(struct source_listener){fresh, followed, waits});
    put(fd, "2026-11-20T16:50:14.1Z stdout F one\n2026-11-20T16:50:14.1Z stdout P tw");
    OK(follow("shop.dev.r42.1", fd));
    OK(str_is(ring_text(wait_lines(1)), "one"));
    put(fd, "o\n2026-11-20T16:50:14.1Z stderr F between\n2026-11-20T16:50:14.1Z stdout F three\n");
    const struct ring_entry *e = wait_lines(3);
    OK(str_is(ring_text(e), "twothree"));
    OK(str_is(ring_name(e), "r42.1"));
    IS_INT(e->release, 42);
    OK(follow("shop.dev.r42.1", fd)); /* the same file again: not read twice */
    put(fd, "2026-11-20T16:50:15.1Z stdout P last");
    put(fd, "\n");
    source_close("shop.dev.r42.1");
    OK(str_is(ring_text(wait_lines(4)), "last"));
    IS_INT(source_count(), 0);
    source_stop();
    app_env_done_all();
}

TEST(goes_on_with_the_next_file)
{
    AUTO_CLOSE int first = file_make("first");
    AUTO_CLOSE int second = file_make("second");
    source_start(&(struct source_listener){fresh, followed, waits});
    put(first, "2026-11-20T16:50:14.1Z stdout F a\n");
    put(second, "2026-11-20T16:50:16.1Z stdout F c\n");
    OK(follow("shop.dev.r42.1", first));
    put(first, "2026-11-20T16:50:15.1Z stdout F b\n");
    OK(follow("shop.dev.r42.1", second));
    OK(str_is(ring_text(wait_lines(3)), "c"));
    put(second, "2026-11-20T16:50:17.1Z stdout F d\n");
    OK(str_is(ring_text(wait_lines(4)), "d"));
    source_stop();
    app_env_done_all();
}

TEST(bounds_a_long_line_and_keeps_strange_bytes)
{
    static const char odd[] = "2026-11-20T16:50:14.1Z stdout F \x1b[2J\xff\0<x>\n";
    AUTO_CLOSE int fd = file_make("log");
    AUTO_FREE char *part = mem_alloc(8193);
    memset(part, 'z', 8192);
    source_start(&(struct source_listener){fresh, followed, waits});
    for (int i = 0; i < 1300; i++) { /* 10 MB without an end */
        put(fd, "2026-11-20T16:50:14.1Z stdout P ");
        put(fd, part);
        put(fd, "\n");
    }
    put(fd, "2026-11-20T16:50:14.1Z stdout F end\n");
    OK(write(fd, odd, sizeof(odd) - 1) == sizeof(odd) - 1);
    OK(follow("shop.dev.r42.1", fd));
    const struct ring_entry *e = wait_lines(2);
    OK(e != NULL);
    if (e)
        IS_INT(e->text_length, 9);
    OK(memchr(ring_text(e).data, '\0', ring_text(e).length) == NULL);
    source_stop();
    app_env_done_all();
}

TAP_MAIN()
