/* See outside.h. */
#include "courier/outside.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/check.h"
#include "base/json.h"
#include "base/str.h"

#define SECRET_MAX ((size_t)64 * 1024)

static const struct settings *settings; /* set once, before the pool has work */

void outside_setup(const struct settings *s)
{
    settings = s;
}

/* --- the address ---------------------------------------------------------------------------- */

struct aim {
    bool inside;
    bool is_near; /* what was agreed to is no matter of a proxy */
};

static bool may_go(void *context, const struct sockaddr *address)
{
    struct aim *aim = context;
    enum address_kind kind = address_kind(address);
    aim->is_near = kind != ADDRESS_PUBLIC;
    if (address_within(address, str_of(settings->forge_networks))) {
        aim->is_near = true;
        return true;
    }
    if (address_within(address, str_of(settings->subnet)))
        return false; /* what we run ourselves */
    return kind == ADDRESS_PUBLIC || (kind == ADDRESS_PRIVATE && aim->inside);
}

/* "example.org" and ".example.org" stand for that host and all below it, "*" for every one. */
static bool is_host_of(struct str host, struct str pattern)
{
    while (str_starts(pattern, "*") || str_starts(pattern, ".")) {
        pattern.data++;
        pattern.length--;
        if (pattern.length == 0)
            return true;
    }
    if (pattern.length == 0 || host.length < pattern.length)
        return false;
    struct str tail = {host.data + host.length - pattern.length, pattern.length};
    return strncasecmp(tail.data, pattern.data, tail.length) == 0 &&
           (tail.data == host.data || tail.data[-1] == '.');
}

static bool goes_without_proxy(const struct outside *o)
{
    struct str rest = str_of(settings->no_proxy);
    if (!*settings->forge_proxy || text_is(o->url.scheme, "ssh"))
        return true;
    while (rest.data) {
        if (is_host_of(str_of(o->url.host), str_trim(str_cut(&rest, ','))))
            return true;
    }
    return false;
}

static int find_way(struct outside *o, bool inside, struct err *err)
{
    struct aim aim = {.inside = inside};
    struct err failure = ERR_INIT;
    bool direct = goes_without_proxy(o);
    int found = address_find(o->url.host, may_go, &aim, o->address, &failure);
    o->proxy = direct || (found == 0 && aim.is_near) ? "" : settings->forge_proxy;
    if (found == 0 || (*o->proxy && inside && failure.kind == E_UNAVAILABLE))
        return 0;
    *err = failure;
    return *o->proxy && failure.kind == E_UNAVAILABLE
               ? err_wrap(err, "only hosts of a forge that an administrator entered may be ones "
                               "that the proxy alone knows")
               : -1;
}

char *outside_pin(const struct outside *o)
{
    unsigned char bytes[16];
    int port = (int)url_repository_port(&o->url);
    if (*o->proxy)
        return NULL;
    if (inet_pton(AF_INET, o->url.host, bytes) == 1 || strchr(o->url.host, ':'))
        return NULL;
    bool ipv6 = strchr(o->address, ':') != NULL;
    return mem_format("%s:%d:%s%s%s", o->url.host, port, ipv6 ? "[" : "", o->address,
                      ipv6 ? "]" : "");
}

/* --- who we are there ----------------------------------------------------------------------- */

static void take_secret(const json_t *all, const char *name, struct secret *secret)
{
    const char *text = json_text(all, name);
    if (text)
        secret_set(secret, text, strlen(text));
}

static int read_whole(int fd, char *data, size_t max, size_t *ret_length, struct err *err)
{
    size_t length = 0;
    while (length < max) {
        ssize_t got = pread(fd, data + length, max - length, (off_t)length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL_SYS(err, "cannot read the credential of this call");
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return length < max ? 0 : FAIL(err, E_TOO_LARGE, "the credential of this call is too large");
}

/* A file of core's in memory, never one on disk. */
static int read_secrets(int fd, struct outside *o, struct err *err)
{
    char *data = mem_alloc(SECRET_MAX);
    size_t length = 0;
    json_t *all = NULL;
    int result = read_whole(fd, data, SECRET_MAX, &length, err);
    if (result == 0 && length > 0)
        result = json_parse((struct str){data, length}, &all, err);
    if (result == 0) {
        take_secret(all, "token", &o->token);
        take_secret(all, "key", &o->key);
        take_secret(all, "hook", &o->hook);
    }
    json_decref(all);
    explicit_bzero(data, SECRET_MAX);
    free(data);
    return result;
}

char *outside_basic(const struct outside *o)
{
    static const char *const logins[] = {
        [OUTSIDE_GIT] = "git",
        [OUTSIDE_GITLAB] = "oauth2",
        [OUTSIDE_GITHUB] = "x-access-token",
        [OUTSIDE_GITEA] = "slipway",
    };
    if (o->token.length == 0)
        return NULL;
    char *plain =
        mem_format("%s:%s", o->login ? o->login : logins[o->kind], secret_str(&o->token).data);
    size_t length = strlen(plain), room = sodium_base64_ENCODED_LEN(length, 1);
    char *encoded = mem_alloc(room);
    (void)sodium_bin2base64(encoded, room, (const unsigned char *)plain, length,
                            sodium_base64_VARIANT_ORIGINAL);
    char *header = mem_format("Authorization: Basic %s", encoded);
    explicit_bzero(plain, length);
    explicit_bzero(encoded, room);
    free(plain);
    free(encoded);
    return header;
}

/* --- life ----------------------------------------------------------------------------------- */

static int kind_of(const char *text, enum outside_kind *ret_kind, struct err *err)
{
    static const char *const names[] = {"git", "gitlab", "github", "gitea"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!text_is(text, names[i]))
            continue;
        *ret_kind = (enum outside_kind)i;
        return 0;
    }
    return FAIL(err, E_FIELD_INVALID, "'%s' is no kind of forge", text);
}

int outside_open(const json_t *remote, int fd, struct outside *ret_outside, struct err *err)
{
    AUTO_OUTSIDE o = {.login = json_text(remote, "login"),
                      .ca = json_text(remote, "ca"),
                      .known_hosts = json_text(remote, "known_hosts")};
    bool inside = json_bool(remote, "inside", false);
    ASSERT(settings);
    if (kind_of(json_text_or(remote, "kind", "git"), &o.kind, err) < 0 ||
        url_repository(str_of(json_text_or(remote, "url", "")), &o.url, err) < 0 ||
        find_way(&o, inside, err) < 0 || (fd >= 0 && read_secrets(fd, &o, err) < 0))
        return -1;
    o.text = url_repository_text(&o.url);
    *ret_outside = o;
    o = (struct outside){0};
    return 0;
}

void outside_done(struct outside *o)
{
    free(o->text);
    secret_done(&o->token);
    secret_done(&o->key);
    secret_done(&o->hook);
    *o = (struct outside){0};
}
