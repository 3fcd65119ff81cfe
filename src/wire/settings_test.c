/* The settings file: defaults, every kind of bad value, and errors that name file and line. */
#include "wire/settings.h"
#include "base/file.h"
#include "base/str.h"
#include "base/tap.h"

static char *write_settings(const char *text)
{
    struct err err = ERR_INIT;
    char *path = mem_format("%s/settings", tap_dir());
    OK(file_write(path, str_of(text), 0644, &err) == 0);
    return path;
}

/* The error's text without the path, or NULL when the file was accepted. */
static const char *refusal(const char *text)
{
    static struct err err;
    struct settings *s = NULL;
    AUTO_FREE char *path = write_settings(text);
    err = (struct err)ERR_INIT;
    if (settings_load(path, &s, &err) == 0) {
        settings_free(s);
        return NULL;
    }
    IS_INT(err.kind, E_CONFIG_INVALID);
    return text_starts(err.text, path) ? err.text + strlen(path) : err.text;
}

TEST(an_empty_file_gives_the_defaults)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = write_settings("");
    AUTO(settings) *s = NULL;
    IS_INT(settings_load(path, &s, &err), 0);
    IS_STR(s->path, path);
    IS_STR(s->id, "slipway");
    IS_STR(s->api_listen, "127.0.0.1:7000");
    IS_INT(s->edge_http, 80);
    IS_STR(s->subnet, "10.213.0.0/16");
    IS_INT(s->build_memory, (int64_t)2 << 30);
    IS_STR(s->npm_registry, "");
    OK(!s->insecure_http);
}

TEST(values_comments_and_blanks_are_read)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = write_settings("# a test beside the live one\n\n  id = t1  \n"
                                          "edge_http=8080\nca_bundle =\nsubnet = 10.9.0.0/20\n"
                                          "insecure_http = true\napi_listen = [::]:7000\n"
                                          "build_volume = 512m");
    AUTO(settings) *s = NULL;
    IS_INT(settings_load(path, &s, &err), 0);
    IS_STR(s->id, "t1");
    IS_INT(s->edge_http, 8080);
    IS_STR(s->subnet, "10.9.0.0/20");
    OK(s->insecure_http);
    IS_INT(s->build_volume, (int64_t)512 << 20);
}

TEST(unknown_keys_and_lines_are_refused_with_their_number)
{
    IS_STR(refusal("id = a\n\nedge_htp = 80\n"), ":3: unknown key 'edge_htp'");
    IS_STR(refusal("id = a\nid = b\n"), ":2: key 'id' is given twice");
    IS_STR(refusal("edge_http 80"), ":1: this is not a line of the form 'key = value'");
    IS_STR(refusal("id = a\r\n"), ":1: this is not a line of the form 'key = value'");
    IS_STR(refusal("= 5"), ":1: unknown key ''");
}

TEST(a_file_that_is_no_settings_file_is_not_shown)
{
    IS_STR(refusal("root:$6$abc=def:1:2\n"), ":1: this is not a known key");
    IS_STR(refusal("root:$6$abcdef:1:2\n"), ":1: this is not a line of the form 'key = value'");
}

TEST(every_kind_of_bad_value_is_refused)
{
    static const char *const bad[] = {
        "id = toolongid",
        "id = A",
        "data_dir = relative",
        "data_dir = /a/../b",
        "data_dir = /",
        "data_dir = /a//b",
        "api_listen = 7000",
        "api_listen = localhost:70",
        "api_listen = 1.2.3.4:0",
        "api_listen = [127.0.0.1]:80",
        "edge_http = 0",
        "edge_http = 65536",
        "edge_http = -1",
        "edge_http = 8O",
        "edge_address = any",
        "base_domain = a b",
        "base_domain = a/../b",
        "subnet = 10.213.0.1/16",
        "subnet = 10.0.0.0/33",
        "subnet = 10.0.0.0",
        "id_first = 0",
        "id_first = 4294967295",
        "user_core = Root",
        "user_core = -x",
        "insecure_http = 1",
        "insecure_http = YES",
        "ca_bundle = x.pem",
        "npm_registry = ftp://x",
        "http_proxy = http://me:word@proxy:3128",
        "npm_registry = https:///x",
        "http_proxy = http://-x",
        "http_proxy = http://proxy:0",
        "debian_mirror = http://[::1]%lo",
        "base_domain = -oProxyCommand=x",
        "api_listen = [::1]%lo:70",
        "api_listen = [::1%lo]:70",
        "no_proxy = a b",
        "no_proxy = $(id)",
        "mirror_logins = logins",
        "build_memory = 1k",
        "build_memory = 2 GiB",
        "build_memory = 9999999999g",
        "builds_parallel = 0",
        "log_level = loud",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (!OK(text_starts(refusal(bad[i]), ":1: ")))
            IS_STR(bad[i], "");
    IS_STR(refusal("run_dir = /tmp/0123456789012345678901234567890123456789012345678901234567"),
           ":1: run_dir must be a path of at most 60 bytes");
}

TEST(an_url_is_refused_with_the_reason)
{
    IS_STR(refusal("npm_registry = https:///evil/x"),
           ":1: npm_registry must be an http or https URL without a password, or nothing: the host "
           "of the URL is neither a name nor an IP address");
    IS_STR(refusal("http_proxy = ext::sh"),
           ":1: http_proxy must be an http or https URL without a password, or nothing: the URL "
           "begins with neither http:// nor https://");
    const char *text = refusal("http_proxy = http://me:word@proxy:3128");
    OK(text && !strstr(text, "word@"));
    OK(refusal("npm_registry = https://registry.example:4873/npm/\nhttp_proxy =\n") == NULL);
}

TEST(the_api_beyond_loopback_needs_a_word)
{
    OK(refusal("api_listen = 0.0.0.0:7000") != NULL);
    OK(refusal("api_listen = 0.0.0.0:7000\ninsecure_http = true") == NULL);
    OK(refusal("api_listen = 0.0.0.0:7000\ninsecure_http = yes") == NULL);
    OK(refusal("api_listen = 0.0.0.0:7000\ninsecure_http = on") == NULL);
    OK(refusal("api_listen = 0.0.0.0:7000\ninsecure_http = no") != NULL);
    OK(refusal("insecure_http = off") == NULL);
    OK(refusal("api_listen = [::1]:7000") == NULL);
    OK(refusal("edge_http = 443") != NULL);
}

TEST(an_absent_file_is_not_found)
{
    struct err err = ERR_INIT;
    struct settings *s = NULL;
    AUTO_FREE char *path = mem_format("%s/nothing", tap_dir());
    IS_INT(settings_load(path, &s, &err), -1);
    IS_INT(err.kind, E_NOT_FOUND);
}

TEST(paths_ranges_and_users)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = write_settings("run_dir = /tmp/r\ndata_dir = /tmp/d\n");
    AUTO(settings) *s = NULL;
    IS_INT(settings_load(path, &s, &err), 0);
    AUTO_FREE char *data = settings_data(s, "core"), *run = settings_run(s, "host.sock");
    IS_STR(data, "/tmp/d/core");
    IS_STR(run, "/tmp/r/host.sock");
    IS_INT(settings_range(s, 1, 0), 400000000 + 2 * 65536);
    IS_INT(settings_range(s, 1, 1), 400000000 + 3 * 65536);
    IS_INT(settings_range_max(s), 29714);
    OK(settings_range(s, 29714, 1) <= 0xffff0000u - 65536);
    uid_t uid = 1;
    gid_t gid = 1;
    IS_INT(settings_uid("root", &uid, &gid, &err), 0);
    IS_INT(uid, 0);
    IS_INT(settings_uid("no-such-user", &uid, &gid, &err), -1);
    IS_INT(err.kind, E_NOT_FOUND);
}

TAP_MAIN()
