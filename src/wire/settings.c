/* The installation's settings, read by every role at its start.
 *
 * One table says what keys there are, where each stands in struct settings, of what kind it is and
 * what its default is; defaults go through the same checks as values from the file. A line is
 * "key = value", empty, or a comment that begins with '#'. Whatever is not understood is refused
 * with the file's name and the line: a role does not start on settings that it half understands.
 * Text of the file is shown in an error only when its key is one of ours. */
#include "wire/settings.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"
#include "io/address.h"

#define SETTINGS_FILE_MAX ((size_t)64 * 1024)
#define RUN_DIR_MAX 60
#define ID_MAX 8
#define RANGE_IDS ((int64_t)65536)
#define RANGE_END 0xffff0000 /* (uid_t)-1 and the 16-bit -1 stay out of every range */

enum setting_kind {
    SETTING_ID,
    SETTING_PATH,
    SETTING_PATH_OR_NONE,
    SETTING_LISTEN,
    SETTING_ADDRESS,
    SETTING_DOMAIN,
    SETTING_SUBNET,
    SETTING_USER,
    SETTING_URL,
    SETTING_URLS, /* as Go has them: "https://one|https://two,direct" */
    SETTING_HOSTS,
    SETTING_RANGES,
    SETTING_LEVEL,
    SETTING_INT,
    SETTING_BYTES,
    SETTING_BOOL,
};
struct setting {
    const char *key;
    enum setting_kind kind;
    size_t offset;
    const char *fallback;
    int64_t min, max; /* of numbers */
};
#define KEY(name_, kind_, fallback_, ...)                                                          \
    {                                                                                              \
#name_, SETTING_##kind_, offsetof(struct settings, name_), fallback_, ##__VA_ARGS__        \
    }
#define MIB ((int64_t)1 << 20)
#define TIB ((int64_t)1 << 40)

static const struct setting settings_table[] = {
    KEY(id, ID, "slipway"),
    KEY(data_dir, PATH, "/var/lib/slipway"),
    KEY(run_dir, PATH, "/run/slipway", 0, RUN_DIR_MAX),
    KEY(api_listen, LISTEN, "127.0.0.1:7000"),
    KEY(edge_http, INT, "80", 1, 65535),
    KEY(edge_https, INT, "443", 0, 65535),
    KEY(edge_address, ADDRESS, "*"),
    KEY(base_domain, DOMAIN, "localhost"),
    KEY(subnet, SUBNET, "10.213.0.0/16", 8, 24),
    KEY(id_first, INT, "400000000", RANGE_IDS, RANGE_END - 200 * RANGE_IDS),
    KEY(user_core, USER, "slipway"),
    KEY(user_courier, USER, "slipway-courier"),
    KEY(user_signals, USER, "slipway-signals"),
    KEY(user_edge, USER, "slipway-edge"),
    KEY(public_url, URL, ""),
    KEY(insecure_http, BOOL, "false"),
    KEY(ca_bundle, PATH_OR_NONE, ""),
    KEY(debian_mirror, URL, ""),
    KEY(npm_registry, URL, ""),
    KEY(pip_index, URL, ""),
    KEY(go_proxy, URLS, ""),
    KEY(maven_mirror, URL, ""),
    KEY(cargo_index, URL, ""),
    KEY(http_proxy, URL, ""),
    KEY(no_proxy, HOSTS, ""),
    KEY(forge_proxy, URL, ""),
    KEY(forge_networks, RANGES, ""),
    KEY(mirror_logins, PATH_OR_NONE, ""),
    KEY(build_memory, BYTES, "2g", 64 * MIB, TIB),
    KEY(build_pids, INT, "1024", 16, 100000),
    KEY(build_volume, BYTES, "4g", 64 * MIB, TIB),
    KEY(build_seconds, INT, "1800", 1, 86400),
    KEY(builds_parallel, INT, "1", 1, 64),
    KEY(disk_reserve, BYTES, "1g", 0, 64 * TIB),
    KEY(log_level, LEVEL, "info"),
};

/* What a text may be. Each check says what it wanted; the caller adds file, line and key. */

static bool setting_is_path(struct str text)
{
    struct str rest = text;
    if (!str_starts(text, "/") || text.length > 1000 || str_has_control(text) || text.length == 1)
        return false;
    (void)str_cut(&rest, '/');
    while (rest.data) {
        struct str part = str_cut(&rest, '/');
        if (part.length == 0 || str_is(part, ".") || str_is(part, ".."))
            return false;
    }
    return true;
}

static bool setting_is_address(struct str text, int family)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char copy[INET6_ADDRSTRLEN];
    if (text.length == 0 || text.length >= sizeof(copy) || memchr(text.data, 0, text.length))
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return inet_pton(family, copy, bytes) == 1;
}

/* "127.0.0.1:7000" or "[::1]:7000". */
static bool setting_is_listen(struct str text)
{
    struct err ignored = ERR_INIT;
    int64_t port;
    const char *colon = text.length ? memrchr(text.data, ':', text.length) : NULL;
    if (!colon)
        return false;
    struct str host = {text.data, (size_t)(colon - text.data)};
    struct str digits = {colon + 1, text.length - host.length - 1};
    if (str_to_int(digits, 1, 65535, "port", &port, &ignored) < 0)
        return false;
    if (str_starts(host, "[") && str_ends(host, "]"))
        return setting_is_address((struct str){host.data + 1, host.length - 2}, AF_INET6);
    return setting_is_address(host, AF_INET);
}

/* An IPv4 network with all bits of the host part zero. */
static bool setting_is_subnet(struct str text, const struct setting *setting)
{
    struct err ignored = ERR_INIT;
    struct in_addr address;
    int64_t prefix;
    struct str rest = text, head = str_cut(&rest, '/');
    if (!rest.data || !setting_is_address(head, AF_INET) ||
        str_to_int(rest, setting->min, setting->max, "prefix", &prefix, &ignored) < 0)
        return false;
    AUTO_FREE char *copy = str_dup(head);
    return inet_pton(AF_INET, copy, &address) == 1 &&
           (ntohl(address.s_addr) & (0xffffffffu >> prefix)) == 0;
}

static bool setting_is_user(struct str text)
{
    if (text.length == 0 || text.length > 32)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-')))
            return false;
    }
    return true;
}

static bool setting_is_hosts(struct str text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(".-*/:,", c)))
            return false;
    }
    return text.length <= 1000;
}

static bool setting_is_yes(struct str text)
{
    return str_is(text, "yes") || str_is(text, "true") || str_is(text, "on");
}

static bool setting_is_no(struct str text)
{
    return str_is(text, "no") || str_is(text, "false") || str_is(text, "off");
}

static bool setting_is_level(struct str text)
{
    return str_is(text, "error") || str_is(text, "warn") || str_is(text, "info") ||
           str_is(text, "debug");
}

/* NULL when the text is good for this kind, else what was wanted. */
static const char *setting_wanted(const struct setting *setting, struct str text)
{
    switch (setting->kind) {
    case SETTING_ID:
        return str_is_name(text) && text.length <= ID_MAX ? NULL : "a name of at most 8 bytes";
    case SETTING_PATH_OR_NONE:
        return text.length == 0 || setting_is_path(text) ? NULL : "an absolute path, or nothing";
    case SETTING_PATH:
        if (setting->max && text.length > (size_t)setting->max)
            return "a path of at most 60 bytes";
        return setting_is_path(text) ? NULL : "an absolute path without '.' and '..'";
    case SETTING_LISTEN:
        return setting_is_listen(text) ? NULL : "ADDRESS:PORT";
    case SETTING_ADDRESS:
        return str_is(text, "*") || setting_is_address(text, AF_INET) ||
                       setting_is_address(text, AF_INET6)
                   ? NULL
                   : "'*' or an IP address";
    case SETTING_DOMAIN:
        return str_is_domain(text) ? NULL : "a domain";
    case SETTING_SUBNET:
        return setting_is_subnet(text, setting) ? NULL : "an IPv4 network such as 10.213.0.0/16";
    case SETTING_USER:
        return setting_is_user(text) ? NULL : "the name of a user";
    case SETTING_HOSTS:
        return setting_is_hosts(text) ? NULL
                                      : "hosts with ',' between (letters, digits, . - * / :)";
    case SETTING_RANGES:
        return address_ranges_valid(text) ? NULL : "networks such as 10.0.0.0/8 with ',' between";
    case SETTING_LEVEL:
        return setting_is_level(text) ? NULL : "error, warn, info or debug";
    case SETTING_BOOL:
        return setting_is_yes(text) || setting_is_no(text) ? NULL : "yes or no";
    case SETTING_URL:
    case SETTING_URLS:
    case SETTING_INT:
    case SETTING_BYTES:
        break; /* by a check with an error of its own */
    }
    return NULL;
}

static int setting_number(const struct setting *setting, struct str text, int64_t *ret_value,
                          struct err *err)
{
    int64_t value;
    if (setting->kind == SETTING_INT)
        return str_to_int(text, setting->min, setting->max, setting->key, ret_value, err);
    if (str_to_bytes(text, setting->key, &value, err) < 0)
        return -1;
    if (value < setting->min || value > setting->max)
        return FAIL(err, E_CONFIG_INVALID, "%s is out of range (%lld to %lld bytes)", setting->key,
                    (long long)setting->min, (long long)setting->max);
    *ret_value = value;
    return 0;
}

static int setting_check_url(const struct setting *setting, struct str text, struct err *err)
{
    bool word = setting->kind == SETTING_URLS && (str_is(text, "direct") || str_is(text, "off"));
    if (word || url_check(text, err) == 0)
        return 0;
    return err_wrap(err, "%s must be an http or https URL without a password, or nothing",
                    setting->key);
}

static int setting_check_urls(const struct setting *setting, struct str text, struct err *err)
{
    size_t start = 0;
    bool list = setting->kind == SETTING_URLS;
    for (size_t i = 0; text.length > 0 && i <= text.length; i++) {
        bool end = i == text.length || (list && (text.data[i] == ',' || text.data[i] == '|'));
        if (!end)
            continue;
        if (setting_check_url(setting, (struct str){text.data + start, i - start}, err) < 0)
            return -1;
        start = i + 1;
    }
    return 0;
}

static int setting_set(struct settings *s, const struct setting *setting, struct str text,
                       struct err *err)
{
    char *at = (char *)s + setting->offset;
    const char *wanted = setting_wanted(setting, text);
    if (wanted)
        return FAIL(err, E_CONFIG_INVALID, "%s must be %s", setting->key, wanted);
    if ((setting->kind == SETTING_URL || setting->kind == SETTING_URLS) &&
        setting_check_urls(setting, text, err) < 0)
        return -1;
    switch (setting->kind) {
    case SETTING_INT:
    case SETTING_BYTES:
        return setting_number(setting, text, (int64_t *)(void *)at, err);
    case SETTING_BOOL:
        *(bool *)at = setting_is_yes(text);
        return 0;
    case SETTING_ID:
    case SETTING_PATH:
    case SETTING_PATH_OR_NONE:
    case SETTING_LISTEN:
    case SETTING_ADDRESS:
    case SETTING_DOMAIN:
    case SETTING_SUBNET:
    case SETTING_USER:
    case SETTING_URL:
    case SETTING_URLS:
    case SETTING_HOSTS:
    case SETTING_RANGES:
    case SETTING_LEVEL:
        break;
    }
    free(*(char **)(void *)at);
    *(char **)(void *)at = str_dup(text);
    return 0;
}

static const struct setting *setting_find(struct str key)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++)
        if (str_is(key, settings_table[i].key))
            return &settings_table[i];
    return NULL;
}

/* A key is shown back only when it looks like one: the file may be anything (/etc/shadow). */
static int setting_unknown(struct str key, struct err *err)
{
    for (size_t i = 0; i < key.length; i++)
        if (key.length > 32 || !((key.data[i] >= 'a' && key.data[i] <= 'z') || key.data[i] == '_'))
            return FAIL(err, E_CONFIG_INVALID, "this is not a known key");
    return FAIL(err, E_CONFIG_INVALID, "unknown key '%.*s'", (int)key.length, key.data);
}

static int settings_line(struct settings *s, struct str line, uint64_t *seen, struct err *err)
{
    line = str_trim(line);
    if (line.length == 0 || line.data[0] == '#')
        return 0;
    struct str value = line, key = str_trim(str_cut(&value, '='));
    if (!value.data || str_has_control(line) || !str_is_utf8(line))
        return FAIL(err, E_CONFIG_INVALID, "this is not a line of the form 'key = value'");
    const struct setting *setting = setting_find(key);
    if (!setting)
        return setting_unknown(key, err);
    uint64_t bit = (uint64_t)1 << (setting - settings_table);
    if (*seen & bit)
        return FAIL(err, E_CONFIG_INVALID, "key '%s' is given twice", setting->key);
    *seen |= bit;
    return setting_set(s, setting, str_trim(value), err);
}

static int settings_lines(struct settings *s, struct str rest, struct err *err)
{
    uint64_t seen = 0;
    for (int number = 1; rest.data; number++) {
        struct str line = str_cut(&rest, '\n');
        if (settings_line(s, line, &seen, err) < 0) {
            err->kind = E_CONFIG_INVALID;
            return err_wrap(err, "%s:%d", s->path, number);
        }
    }
    return 0;
}

/* What concerns more than one key. */
static int settings_together(const struct settings *s, struct err *err)
{
    bool loopback = text_starts(s->api_listen, "127.") || text_starts(s->api_listen, "[::1]:");
    if (!loopback && !s->insecure_http)
        return FAIL(err, E_CONFIG_INVALID,
                    "%s: api_listen '%s' is beyond loopback and without TLS: passwords would be "
                    "sent in the clear; reach the API through the edge, or set insecure_http = "
                    "true",
                    s->path, s->api_listen);
    if (s->edge_http == s->edge_https)
        return FAIL(err, E_CONFIG_INVALID, "%s: edge_http and edge_https are the same port",
                    s->path);
    return 0;
}

static struct settings *settings_new(const char *path)
{
    struct settings *s = mem_alloc(sizeof(*s));
    s->path = mem_strdup(path);
    _Static_assert(ARRAY_SIZE(settings_table) <= 64, "settings_line marks seen keys in 64 bits");
    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++) {
        struct err err = ERR_INIT;
        int result = setting_set(s, &settings_table[i], str_of(settings_table[i].fallback), &err);
        ASSERT(result == 0);
    }
    return s;
}

int settings_load(const char *path, struct settings **ret_settings, struct err *err)
{
    AUTO_BUF content = BUF_INIT(0);
    if (file_read(path, SETTINGS_FILE_MAX, &content, err) < 0)
        return err_wrap(err, "cannot read the settings");
    AUTO(settings) *s = settings_new(path);
    if (settings_lines(s, buf_str(&content), err) < 0 || settings_together(s, err) < 0)
        return -1;
    *ret_settings = TAKE(s);
    return 0;
}

static bool setting_is_text(const struct setting *setting)
{
    return setting->kind != SETTING_INT && setting->kind != SETTING_BYTES &&
           setting->kind != SETTING_BOOL;
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++)
        if (setting_is_text(&settings_table[i]))
            free(*(char **)(void *)((char *)s + settings_table[i].offset));
    free(s->path);
    free(s);
}

char *settings_address(const struct settings *s)
{
    struct str host = str_of(s->api_listen);
    if (*s->public_url)
        return mem_strdup(s->public_url);
    if (!text_is(s->base_domain, "localhost")) {
        AUTO_FREE char *port =
            s->edge_http == 80 ? mem_strdup("") : mem_format(":%lld", (long long)s->edge_http);
        return mem_format("http://slipway.%s%s", s->base_domain, port);
    }
    if (str_starts(host, "0.0.0.0:"))
        return mem_format("http://127.0.0.1%s", s->api_listen + 7);
    if (str_starts(host, "[::]:"))
        return mem_format("http://[::1]%s", s->api_listen + 4);
    return mem_format("http://%s", s->api_listen);
}

char *settings_data(const struct settings *s, const char *below)
{
    return mem_format("%s/%s", s->data_dir, below);
}

char *settings_run(const struct settings *s, const char *below)
{
    return mem_format("%s/%s", s->run_dir, below);
}

int settings_uid(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
    struct passwd entry, *found = NULL;
    char room[16 * 1024];
    int error = getpwnam_r(user, &entry, room, sizeof(room), &found);
    if (!found && (error == 0 || error == ENOENT || error == ESRCH))
        return FAIL(err, E_NOT_FOUND, "user '%s' does not exist on this machine", user);
    if (!found) {
        errno = error;
        return FAIL_SYS(err, "cannot look up user '%s'", user);
    }
    *ret_uid = entry.pw_uid;
    *ret_gid = entry.pw_gid;
    return 0;
}

bool settings_is_public(const struct settings *s, struct str host)
{
    struct url_repository url = {0};
    struct err ignored = ERR_INIT;
    AUTO_FREE char *given = mem_format("%s/x", s->public_url); /* it has no path */
    return *s->public_url && url_repository(str_of(given), &url, &ignored) == 0 &&
           str_equal_nocase(host, url.host);
}

int64_t settings_range_max(const struct settings *s)
{
    return (RANGE_END - s->id_first) / (2 * RANGE_IDS) - 1;
}

uint32_t settings_range(const struct settings *s, int64_t number, int kind)
{
    ASSERT(kind == 0 || kind == 1);
    ASSERT(number >= 0 && number <= settings_range_max(s));
    return (uint32_t)(s->id_first + (number * 2 + kind) * RANGE_IDS);
}

const char *settings_argument(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (text_is(argv[i], "--settings"))
            return argv[i + 1];
    }
    return NULL;
}
