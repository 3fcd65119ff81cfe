/* The growing byte string: ceilings, formats, JSON strings. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/tap.h"

TEST(gathers)
{
    AUTO_BUF b = BUF_INIT(0);
    OK(str_is(buf_str(&b), ""));
    IS_INT(buf_add_text(&b, "ab"), 0);
    IS_INT(buf_add_char(&b, 'c'), 0);
    IS_INT(buf_add_str(&b, STR("d")), 0);
    IS_INT(buf_add_format(&b, "-%d", 5), 0);
    IS_INT(buf_add(&b, NULL, 0), 0);
    IS_STR(b.data, "abcd-5");
    IS_INT(b.length, 6);
}

TEST(formats_long_texts)
{
    AUTO_BUF b = BUF_INIT(0);
    IS_INT(buf_add_format(&b, "%s%1000d", "x", 7), 0);
    IS_INT(b.length, 1001);
    OK(str_ends(buf_str(&b), " 7"));
}

TEST(stops_at_the_ceiling)
{
    AUTO_BUF b = BUF_INIT(5);
    IS_INT(buf_add_text(&b, "abc"), 0);
    IS_INT(buf_add_text(&b, "def"), -1);
    IS_STR(b.data, "abc");
    OK(b.failed);
    IS_INT(buf_add_text(&b, "d"), -1); /* no text with a hole */
    buf_clear(&b);
    IS_INT(buf_add_text(&b, "abcde"), 0);
    IS_STR(b.data, "abcde");
    IS_INT(buf_add_char(&b, 'f'), -1);
    IS_INT(b.length, 5);
}

TEST(never_grows_past_the_ceiling)
{
    AUTO_BUF b = BUF_INIT(100);
    for (int i = 0; i < 100; i++)
        IS_INT(buf_add_char(&b, 'x'), 0);
    OK(b.capacity <= 101);
    IS_INT(buf_add_format(&b, "%300d", 1), -1);
    IS_INT(b.length, 100);
}

TEST(refuses_absurd_lengths)
{
    AUTO_BUF b = BUF_INIT(0);
    IS_INT(buf_add_text(&b, "a"), 0);
    IS_INT(buf_add(&b, "x", SIZE_MAX), -1);
    IS_STR(b.data, "a");
}

TEST(consumes_from_the_front)
{
    AUTO_BUF b = BUF_INIT(0);
    buf_consume(&b, 0);
    (void)buf_add_text(&b, "abcdef");
    buf_consume(&b, 2);
    IS_STR(b.data, "cdef");
    buf_consume(&b, 4);
    IS_STR(b.data, "");
}

TEST(gives_its_content_away)
{
    AUTO_BUF b = BUF_INIT(0);
    AUTO_FREE char *nothing = buf_take(&b);
    IS_STR(nothing, "");
    (void)buf_add_text(&b, "abc");
    AUTO_FREE char *text = buf_take(&b);
    IS_STR(text, "abc");
    OK(b.data == NULL && b.length == 0);
}

TEST(writes_json_strings)
{
    AUTO_BUF b = BUF_INIT(0);
    IS_INT(buf_add_json_string(&b, STR("a\"\\\n\x01\x7f\xc3\xa9\xff\xc2\x9b\0z")), 0);
    IS_STR(b.data, "\"a\\\"\\\\\\n\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\\u009b\xef\xbf\xbdz\"");
}

TEST(writes_json_strings_whole_or_not)
{
    AUTO_BUF b = BUF_INIT(6);
    (void)buf_add_text(&b, "a");
    IS_INT(buf_add_json_string(&b, STR("bcdefg")), -1);
    IS_STR(b.data, "a");
    OK(b.failed);
}

TEST(may_be_done_twice)
{
    struct buf b = {0};
    buf_done(&b);
    (void)buf_add_text(&b, "a");
    buf_done(&b);
    buf_done(&b);
    OK(b.data == NULL);
}

TAP_MAIN()
