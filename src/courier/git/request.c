/* See request.h. */
#include "courier/git/request.h"
#include <stdio.h>
#include "base/mem.h"

#define LOGIN_MAX 600 /* bytes of "user:secret" */
#define USER_MAX 100
#define SECRET_MAX 300

/* --- route ---------------------------------------------------------------------------------- */

const char *git_service_name(enum git_service service)
{
    return service == GIT_PUSH ? "git-receive-pack" : "git-upload-pack";
}

static bool service_of(struct str name, enum git_service *ret_service)
{
    *ret_service = str_is(name, "git-receive-pack") ? GIT_PUSH : GIT_FETCH;
    return str_is(name, git_service_name(*ret_service));
}

static int no_route(struct err *err)
{
    return FAIL(err, E_NOT_FOUND, "no such repository: use http(s)://HOST/git/APP.git");
}

int git_route_parse(struct str method, struct str path, struct str query,
                    struct git_route *ret_route, struct err *err)
{
    struct git_route route = {0};
    if (!str_starts(path, "/git/"))
        return no_route(err);
    struct str rest = {path.data + 5, path.length - 5};
    struct str app = str_cut(&rest, '/');
    if (str_ends(app, ".git"))
        app.length -= 4;
    if (!str_is_name(app) || app.length >= sizeof(route.app))
        return no_route(err);
    (void)snprintf(route.app, sizeof(route.app), "%.*s", (int)app.length, app.data);
    if (str_is(rest, "info/refs")) {
        route.advertise = true;
        struct str value = query;
        struct str key = str_cut(&value, '=');
        if (!str_is(key, "service") || !service_of(value, &route.service))
            return FAIL(err, E_NOT_FOUND, "only smart HTTP is spoken here: use a newer git");
    } else if (query.length > 0 || !service_of(rest, &route.service)) {
        return no_route(err);
    }
    if (!str_is(method, route.advertise ? "GET" : "POST"))
        return FAIL(err, E_METHOD_NOT_ALLOWED, "this is asked with %s",
                    route.advertise ? "GET" : "POST");
    *ret_route = route;
    return 0;
}

/* --- login ---------------------------------------------------------------------------------- */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Strict base64: padded, nothing else in it, no stray bits. -1 or the bytes written. */
static ssize_t base64_decode(struct str text, char *out, size_t size)
{
    size_t pad = 0, made = 0;
    if (text.length == 0 || text.length % 4 != 0 || text.length / 4 * 3 > size)
        return -1;
    while (pad < 2 && text.data[text.length - 1 - pad] == '=')
        pad++;
    unsigned bits = 0;
    for (size_t i = 0; i < text.length; i++) {
        int value = i >= text.length - pad ? 0 : sextet(text.data[i]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (unsigned)value;
        if (i % 4 != 3)
            continue;
        out[made++] = (char)(bits >> 16 & 0xff);
        out[made++] = (char)(bits >> 8 & 0xff);
        out[made++] = (char)(bits & 0xff);
        bits = 0;
    }
    for (size_t i = 0; i < pad; i++)
        if (made == 0 || out[--made] != 0)
            return -1;
    return (ssize_t)made;
}

int git_login_parse(struct str header, struct git_login *ret_login, struct err *err)
{
    char plain[LOGIN_MAX];
    struct str scheme = str_cut(&header, ' ');
    if (!str_equal_nocase(scheme, "basic"))
        return FAIL(err, E_UNAUTHENTICATED, "user name and API token are needed");
    ssize_t length = base64_decode(header, plain, sizeof(plain));
    struct str secret = {plain, length > 0 ? (size_t)length : 0};
    struct str user = str_cut(&secret, ':');
    bool fits = length > 0 && secret.data && user.length > 0 && user.length <= USER_MAX &&
                secret.length > 0 && secret.length <= SECRET_MAX && str_is_utf8(user) &&
                str_is_utf8(secret) && !str_has_control(user) && !str_has_control(secret);
    if (fits) {
        ret_login->user = str_dup(user);
        secret_set(&ret_login->secret, secret.data, secret.length);
    }
    explicit_bzero(plain, sizeof(plain));
    return fits ? 0 : FAIL(err, E_UNAUTHENTICATED, "user name and API token cannot be read");
}

void git_login_done(struct git_login *l)
{
    free(l->user);
    secret_done(&l->secret);
    l->user = NULL;
}

/* --- body ----------------------------------------------------------------------------------- */

int inflater_init(struct inflater *i, struct err *err)
{
    *i = (struct inflater){0};
    if (inflateInit2(&i->z, 15 + 16) != Z_OK)
        return FAIL(err, E_INTERNAL, "cannot start zlib");
    i->on = true;
    return 0;
}

void inflater_done(struct inflater *i)
{
    if (i->on)
        (void)inflateEnd(&i->z); /* only frees */
    i->on = false;
}

int inflater_next(struct inflater *i, struct str *input, char *out, size_t out_size,
                  size_t *ret_made, struct err *err)
{
    if (i->ended && input->length > 0)
        return FAIL(err, E_REQUEST_INVALID, "bytes after the end of the gzip body");
    *ret_made = 0;
    if (i->ended)
        return 0;
    i->z.next_in = (unsigned char *)input->data;
    i->z.avail_in = (unsigned)input->length;
    i->z.next_out = (unsigned char *)out;
    i->z.avail_out = (unsigned)out_size;
    int r = inflate(&i->z, Z_NO_FLUSH);
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return FAIL(err, E_REQUEST_INVALID, "the gzip body is broken");
    i->ended = r == Z_STREAM_END;
    input->data += input->length - i->z.avail_in;
    input->length = i->z.avail_in;
    *ret_made = out_size - i->z.avail_out;
    return 0;
}
