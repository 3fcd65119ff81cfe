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

/* ---- repositories ---- */

static const char *repository(const char *text)
{
    static char *kept;
    struct err err = ERR_INIT;
    struct url_repository url;
    free(kept);
    kept = NULL;
    if (url_repository(str_of(text), &url, &err) < 0)
        return err_name(err.kind);
    return kept = url_repository_text(&url);
}

TEST(the_address_of_a_repository)
{
    IS_STR(repository("https://git.example.com/team/shop.git"),
           "https://git.example.com/team/shop.git");
    IS_STR(repository("http://10.0.0.1:3000/a/b"), "http://10.0.0.1:3000/a/b");
    IS_STR(repository("https://[fd00::1]:8443/a"), "https://[fd00::1]:8443/a");
    IS_STR(repository("git@git.corp:team/shop.git"), "ssh://git@git.corp/team/shop.git");
    IS_STR(repository("git.corp:/srv/shop.git"), "ssh://git.corp/srv/shop.git");
    IS_STR(repository("ssh://git@git.corp:2222/team/shop.git"),
           "ssh://git@git.corp:2222/team/shop.git");
}

TEST(what_is_no_address_of_a_repository)
{
    static const char *const scheme[] = {
        "",           "/etc", "./x",         "file:///var/lib/x", "ext::sh -c touch% CANARY",
        "fd::17",     "a::b", "\\\\host\\x", "git://h/x",         "ftp://h/x",
        "just-a-name"};
    for (size_t i = 0; i < sizeof(scheme) / sizeof(scheme[0]); i++)
        IS_STR(repository(scheme[i]), "url_scheme");
    static const char *const host[] = {
        "https:///evil/x",
        "ssh://-oProxyCommand=touch${IFS}CANARY/x",
        "git@-oProxyCommand=x:y",
        "-oProxyCommand=x:y",
        "https://user@host/x",
        "https://user:secret@host/x",
        "ssh://git:secret@host/x",
        "ssh://-l@host/x",
        "ssh:///x",
    };
    for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++)
        IS_STR(repository(host[i]), "host_invalid");
    static const char *const field[] = {"https://host/", "https://host", "https://host/a?b",
                                        "git@host:",     "git@host:-x",  "git@host:a;b",
                                        "git@host:`x`",  "ssh://host/"};
    for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
        IS_STR(repository(field[i]), "field_invalid");
}
