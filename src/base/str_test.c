/* Views, strict numbers, and the rules for names that come from outside. */
#include "base/str.h"
#include "base/mem.h"
#include "base/tap.h"

TEST(compares)
{
    OK(str_is(STR("abc"), "abc"));
    OK(!str_is(STR("abc"), "ab"));
    OK(str_equal((struct str){NULL, 0}, STR("")));
    OK(str_equal_nocase(STR("Content-Type"), "content-type"));
    OK(!str_equal_nocase(STR("a"), "ab"));
    OK(str_starts(STR("abc"), "ab") && !str_starts(STR("a"), "ab"));
    OK(str_ends(STR("abc"), "bc") && !str_ends(STR("c"), "bc"));
    OK(str_starts((struct str){NULL, 0}, "") && str_ends((struct str){NULL, 0}, ""));
    OK(str_equal_secret(STR("k"), STR("k")) && !str_equal_secret(STR("k"), STR("l")));
    OK(text_is("a", "a") && !text_is("a", NULL) && !text_is(NULL, NULL));
    OK(text_starts("abc", "ab") && !text_starts(NULL, "a"));
}

TEST(cuts)
{
    struct str rest = STR("a,,b");
    OK(str_is(str_cut(&rest, ','), "a"));
    OK(str_is(str_cut(&rest, ','), ""));
    OK(rest.data != NULL);
    OK(str_is(str_cut(&rest, ','), "b"));
    OK(rest.data == NULL && rest.length == 0);
    rest = STR("a,");
    OK(str_is(str_cut(&rest, ','), "a"));
    OK(rest.data != NULL && rest.length == 0);
}

TEST(trims_and_copies)
{
    OK(str_is(str_trim(STR(" \ta b\t ")), "a b"));
    OK(str_is(str_trim(STR("  ")), ""));
    AUTO_FREE char *copy = str_dup((struct str){"abcdef", 3});
    IS_STR(copy, "abc");
    AUTO_FREE char *empty = str_dup((struct str){NULL, 0});
    IS_STR(empty, "");
}

static int64_t number(const char *text, enum err_kind *ret_kind)
{
    struct err err = ERR_INIT;
    int64_t value = -77;
    err_ignore(str_to_int(str_of(text), INT64_MIN, INT64_MAX, "n", &value, &err)); /* kind says */
    *ret_kind = err.kind;
    return value;
}

TEST(reads_integers)
{
    enum err_kind kind;
    IS_INT(number("0", &kind), 0);
    IS_INT(number("-5", &kind), -5);
    IS_INT(number("9223372036854775807", &kind), INT64_MAX);
    IS_INT(number("-9223372036854775808", &kind), INT64_MIN);
    IS_INT(kind, E_OK);
}

TEST(refuses_what_is_no_integer)
{
    const char *bad[] = {"",   "-", "+1",  "01",  "-0", "00",  "1 ",
                         " 1", "a", "0x1", "--1", "1a", "1.0", "1e3"};
    enum err_kind kind;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        IS_INT(number(bad[i], &kind), -77);
        IS_INT(kind, E_FIELD_INVALID);
    }
    (void)number("9223372036854775808", &kind);
    IS_INT(kind, E_OUT_OF_RANGE);
    (void)number("-9223372036854775809", &kind);
    IS_INT(kind, E_OUT_OF_RANGE);
    (void)number("18446744073709551616", &kind);
    IS_INT(kind, E_OUT_OF_RANGE);
    (void)number("-18446744073709551616", &kind);
    IS_INT(kind, E_OUT_OF_RANGE);
}

TEST(keeps_integers_in_range)
{
    struct err err = ERR_INIT;
    int64_t value = 0;
    IS_INT(str_to_int(STR("65536"), 1, 65535, "port", &value, &err), -1);
    IS_STR(err.text, "port is out of range: '65536' (1 to 65535)");
    IS_INT(str_to_int(STR("65535"), 1, 65535, "port", &value, &err), 0);
    IS_INT(value, 65535);
}

TEST(reads_bytes)
{
    struct err err = ERR_INIT;
    int64_t value = 0;
    IS_INT(str_to_bytes(STR("512m"), "memory", &value, &err), 0);
    IS_INT(value, 512 << 20);
    IS_INT(str_to_bytes(STR("1024"), "memory", &value, &err), 0);
    IS_INT(value, 1024);
    IS_INT(str_to_bytes(STR("300k"), "memory", &value, &err), 0);
    IS_INT(value, 300 << 10);
    IS_INT(str_to_bytes(STR("2g"), "memory", &value, &err), 0);
    IS_INT(value, (int64_t)2 << 30);
    IS_INT(str_to_bytes(STR("-1"), "memory", &value, &err), -1);
    IS_INT(err.kind, E_FIELD_INVALID);
    IS_INT(str_to_bytes(STR("1G"), "memory", &value, &err), -1);
    IS_INT(str_to_bytes(STR("m"), "memory", &value, &err), -1);
    IS_INT(str_to_bytes(STR("9223372036854775807g"), "memory", &value, &err), -1);
    IS_INT(err.kind, E_OUT_OF_RANGE);
}

TEST(reads_durations)
{
    struct err err = ERR_INIT;
    int64_t value = 0;
    IS_INT(str_to_ms(STR("500ms"), "timeout", &value, &err), 0);
    IS_INT(value, 500);
    IS_INT(str_to_ms(STR("5m"), "timeout", &value, &err), 0);
    IS_INT(value, 300000);
    IS_INT(str_to_ms(STR("7d"), "timeout", &value, &err), 0);
    IS_INT(value, (int64_t)7 * 24 * 3600 * 1000);
    IS_INT(str_to_ms(STR("30"), "timeout", &value, &err), -1);
    IS_STR(err.text, "timeout is not understood: '30'");
    IS_INT(str_to_ms(STR("1 s"), "timeout", &value, &err), -1);
    IS_INT(str_to_ms(STR("1.5s"), "timeout", &value, &err), -1);
}

TEST(knows_utf8)
{
    OK(str_is_utf8(STR("")));
    OK(str_is_utf8(STR("plain text of some length, \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 end")));
    OK(!str_is_utf8(STR("\xc0\x80")));         /* overlong */
    OK(!str_is_utf8(STR("\xe0\x9f\xbf")));     /* overlong */
    OK(!str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    OK(!str_is_utf8(STR("\xf4\x90\x80\x80"))); /* past U+10FFFF */
    OK(!str_is_utf8(STR("abcdefghi\xff")));
    OK(!str_is_utf8(STR("\xe2\x82")));
    OK(!str_is_utf8(STR("\x80")));
    OK(str_has_control(STR("a\nb")) && str_has_control(STR("\x7f")) && !str_has_control(STR("a")));
}

TEST(knows_names)
{
    OK(str_is_name(STR("a")) && str_is_name(STR("shop-2")));
    OK(str_is_name(STR("a234567890123456789012345678901234567890")));
    OK(!str_is_name(STR("a2345678901234567890123456789012345678901")));
    OK(!str_is_name(STR("")) && !str_is_name(STR("2a")) && !str_is_name(STR("-a")));
    OK(!str_is_name(STR("a-")) && !str_is_name(STR("A")) && !str_is_name(STR("a.b")));
    OK(!str_is_name(STR("a\0b")) && !str_is_name(STR("a\n")) && !str_is_name(STR("../a")));
}

TEST(knows_domains)
{
    OK(str_is_domain(STR("shop.example.com")) && str_is_domain(STR("localhost")));
    OK(str_is_domain(STR("xn--bcher-kva.example")));
    OK(!str_is_domain(STR("")) && !str_is_domain(STR(".a")) && !str_is_domain(STR("a.")));
    OK(!str_is_domain(STR("a..b")) && !str_is_domain(STR("*.a")) && !str_is_domain(STR("a:80")));
    OK(!str_is_domain(STR("127.0.0.1")) && !str_is_domain(STR("7")) && !str_is_domain(STR("a.1")));
    OK(str_is_domain(STR("1.a1")) && str_is_domain(STR("163.com")));
    OK(!str_is_domain(STR("-a.b")) && !str_is_domain(STR("a-.b")) && !str_is_domain(STR("A.b")));
    char label[66] = {0};
    memset(label, 'a', 64);
    OK(!str_is_domain(str_of(label)));
    OK(str_is_domain((struct str){label, 63}));
    char deep[300];
    for (size_t i = 0; i < sizeof(deep); i++)
        deep[i] = i % 2 ? '.' : 'a';
    OK(str_is_domain((struct str){deep, 253}) && !str_is_domain((struct str){deep, 255}));
}

TEST(knows_commits_and_digests)
{
    OK(str_is_commit(STR("0123456789abcdef0123456789abcdef01234567")));
    OK(!str_is_commit(STR("0123456789ABCDEF0123456789abcdef01234567")));
    OK(!str_is_commit(STR("0123456789abcdef0123456789abcdef0123456")));
    OK(str_is_digest(
        STR("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")));
    OK(!str_is_digest(
        STR("sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")));
    OK(!str_is_digest(STR("sha256:")) && !str_is_digest(STR("")));
}

TEST(accepts_branches)
{
    const char *good[] = {"main",        "feature/x", "a.b",   "a-b",
                          "a@b",         "@a",        "a{b}",  "v1.0",
                          "caf\xc3\xa9", "a/@/b",     "a'b",   "a\"b",
                          "$(x)",        "a.lock.b",  "x|y&z", "main;touch${IFS}CANARY",
                          "HEAD",        "a/-b",      "lock"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!OK(str_is_branch(str_of(good[i]))))
            IS_STR(good[i], "accepted");
}

TEST(refuses_branches)
{
    const char *bad[] = {"",     "-a",    "@",     ".a",  "a/.b", "a.lock", "a.lock/b",
                         "a..b", "a b",   "a~b",   "a^b", "a:b",  "a?b",    "a*b",
                         "a[b",  "a\\b",  "/a",    "a/",  "a//b", "a@{b",   "a.",
                         "a\tb", "a\x7f", "a\xff", "a/.", "..",   ".lock",  "main;touch CANARY"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (!OK(!str_is_branch(str_of(bad[i]))))
            IS_STR(bad[i], "refused");
    char text[202];
    memset(text, 'a', sizeof(text));
    OK(str_is_branch((struct str){text, 200}) && !str_is_branch((struct str){text, 201}));
    OK(!str_is_branch(STR("a\0b")));
}

TEST(knows_environment_names)
{
    OK(str_is_env_name(STR("PATH")) && str_is_env_name(STR("_a1")));
    OK(!str_is_env_name(STR("")) && !str_is_env_name(STR("1A")) && !str_is_env_name(STR("A-B")));
    OK(!str_is_env_name(STR("A=B")) && !str_is_env_name(STR("\xc3\xa9")));
}

TEST(hidden_characters_are_found)
{
    static const char *const hidden[] = {"\x01",   "\n",     "\x1b[2J", "\x7f",   "\xc2\x9bx",
                                         "\u00ad", "\u061c", "\u200b",  "\u200f", "\u202a",
                                         "\u202e", "\u2028", "\u2066",  "\ufeff", "\U000e0041"};
    static const char *const shown[] = {" ",      "~",          "\u00a0", "\u4e2d", "\u2010",
                                        "\u2030", "\U0001f600", "\x9b",   "\xc2",   ""};
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        OK(str_hidden_step(str_of(hidden[i])) > 0);
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
        OK(str_hidden_step(str_of(shown[i])) == 0);
    IS_INT(str_hidden_step(STR("\u202ex")), 3);
    IS_INT(str_character(STR("\U0001f600"), 4), 0x1f600);
}

TAP_MAIN()
