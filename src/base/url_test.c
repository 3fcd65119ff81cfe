/* URLs that two readers would read in two ways, and those that everybody reads alike. */
#include "base/url.h"
#include "base/mem.h"
#include "base/tap.h"

static enum err_kind checked(const char *url)
{
    struct err err = ERR_INIT;
    return url_check(str_of(url), &err) < 0 ? err.kind : E_OK;
}

struct row {
    const char *url;
    enum err_kind kind;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!IS_INT(checked(rows[i].url), rows[i].kind))
            IS_STR(rows[i].url, "");
}

TEST(plain_urls_are_taken)
{
    static const struct row rows[] = {
        {"http://127.0.0.1:7000", E_OK},
        {"https://registry.example/npm/", E_OK},
        {"http://[::1]:7000/x", E_OK},
        {"https://[2001:db8::1]", E_OK},
        {"http://a_b.Example:65535/?x=1#y", E_OK},
        {"http://proxy", E_OK},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

TEST(other_schemes_are_refused)
{
    static const struct row rows[] = {
        {"", E_URL_SCHEME},          {"/etc", E_URL_SCHEME},
        {"ftp://x", E_URL_SCHEME},   {"file:///var/lib", E_URL_SCHEME},
        {"HTTP://x", E_URL_SCHEME},  {"ext::sh -c touch% x", E_URL_SCHEME},
        {"fd::17", E_URL_SCHEME},    {"ssh://-oProxyCommand=x/x", E_URL_SCHEME},
        {"http:/x", E_URL_SCHEME},   {"\\\\host\\x", E_URL_SCHEME},
        {" http://x", E_URL_SCHEME}, {"--config=/etc/shadow", E_URL_SCHEME},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

TEST(a_host_is_a_name_or_an_address)
{
    static const struct row rows[] = {
        {"https:///evil/x", E_HOST_INVALID},    {"http://", E_HOST_INVALID},
        {"http://-x", E_HOST_INVALID},          {"http://-oProxyCommand=x", E_HOST_INVALID},
        {"http://a.-b", E_HOST_INVALID},        {"http://a b", E_HOST_INVALID},
        {"http://a\tb/", E_HOST_INVALID},       {"http://[::1]%lo", E_HOST_INVALID},
        {"http://[::1%lo]", E_HOST_INVALID},    {"http://[::1", E_HOST_INVALID},
        {"http://[127.0.0.1]", E_HOST_INVALID}, {"http://[::1]x", E_HOST_INVALID},
        {"http://me@host", E_HOST_INVALID},     {"http://me:word@host:80", E_HOST_INVALID},
        {"http://a..b", E_HOST_INVALID},        {"http://:80", E_HOST_INVALID},
        {"http://a%2fb", E_HOST_INVALID},       {"http://a\\b", E_HOST_INVALID},
        {"http://h\xc3\xb6st", E_HOST_INVALID}, {"http://?x", E_HOST_INVALID},
    };
    check_rows(rows, ARRAY_SIZE(rows));
    AUTO_FREE char *label = mem_format("http://%0100d", 0);
    IS_INT(checked(label), E_HOST_INVALID);
}

TEST(a_port_is_a_number_in_range)
{
    static const struct row rows[] = {
        {"http://x:0", E_OUT_OF_RANGE},      {"http://x:65536/", E_OUT_OF_RANGE},
        {"http://x:-1", E_OUT_OF_RANGE},     {"http://x:", E_FIELD_INVALID},
        {"http://x:8O", E_FIELD_INVALID},    {"http://[::1]:0", E_OUT_OF_RANGE},
        {"http://x:80:80", E_FIELD_INVALID},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

TEST(the_rest_is_plain_text)
{
    static const struct row rows[] = {
        {"http://x/a b", E_FIELD_INVALID},  {"http://x/a\nb", E_FIELD_INVALID},
        {"http://x/\x7f", E_FIELD_INVALID}, {"http://x/;server evil", E_FIELD_INVALID},
        {"http://x/`id`", E_FIELD_INVALID}, {"http://x/a@b", E_FIELD_INVALID},
    };
    check_rows(rows, ARRAY_SIZE(rows));
    AUTO_FREE char *url = mem_format("http://x/%01000d", 0);
    IS_INT(checked(url), E_FIELD_INVALID);
    struct err err = ERR_INIT;
    IS_INT(url_check((struct str){"http://x\0y", 10}, &err), -1);
}

TAP_MAIN()
