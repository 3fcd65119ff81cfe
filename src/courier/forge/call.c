/* One request to a forge: who we are, its limits, pages, and what its answers mean.
 *
 * GitHub says "403, none remaining" where others say 429; both say when to come back, as seconds or
 * as a time. A redirect is not followed: the credential stays with the host that it was given for.
 */
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/forge/forge_priv.h"

#define WAIT_DEFAULT_S 60
#define WAIT_MAX_S 3600
#define TEXT_SHOWN 120 /* bytes of what it says */

char *forge_escape(const char *text, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = mem_array(strlen(text) + 1, 3), *at = out;
    for (const char *c = text; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-._~", *c) || strchr(keep, *c);
        if (plain) {
            *at++ = *c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[(unsigned char)*c >> 4];
        *at++ = digits[(unsigned char)*c & 15];
    }
    *at = '\0';
    return out;
}

static bool header_int(const struct http_answer *a, const char *name, int64_t *ret_value)
{
    struct err ignored = ERR_INIT;
    struct str value = http_answer_header(a, name);
    return value.data && str_to_int(value, 0, 1ll << 40, name, ret_value, &ignored) == 0;
}

/* Seconds until it may be asked again. */
static int64_t wait_of(const struct http_answer *a)
{
    int64_t value = 0, now_s = clock_wall_ms(clock_system()) / 1000;
    if (!header_int(a, "Retry-After", &value)) {
        if (header_int(a, "RateLimit-Reset", &value) || header_int(a, "X-RateLimit-Reset", &value))
            value -= now_s;
        else
            value = WAIT_DEFAULT_S;
    }
    return value < 1 ? 1 : value > WAIT_MAX_S ? WAIT_MAX_S : value;
}

static bool is_busy(const struct http_answer *a)
{
    int64_t left;
    if (a->status == 429)
        return true;
    if (a->status != 403)
        return false;
    return http_answer_header(a, "Retry-After").data ||
           (header_int(a, "X-RateLimit-Remaining", &left) && left == 0);
}

/* What it says of an error, in the ways that they do: a text, a list, an object of lists. */
static char *said(const json_t *body)
{
    const json_t *message = json_object_get(body, "message");
    const json_t *errors = json_object_get(body, "errors");
    if (json_is_string(message) && !json_is_array(errors))
        return mem_strdup(json_string_value(message));
    if (json_is_string(json_object_get(body, "error")))
        return mem_strdup(json_text(body, "error"));
    const json_t *shown = json_array_size(errors) > 0 ? errors : message;
    return shown ? json_print(json_is_array(shown) || json_is_object(shown) ? shown : body)
                 : mem_strdup("");
}

static int explain(const struct forge *f, const struct http_answer *a, const json_t *body,
                   struct err *err)
{
    const char *host = f->at.url.host;
    AUTO_FREE char *text = said(body);
    struct str where = http_answer_header(a, "Location");
    if (a->status == 401 || a->status == 403)
        return FAIL(err, E_FORGE_DENIED, "'%s' %s (%d): %.*s", host,
                    a->status == 401 ? "does not let us in" : "does not let us do that", a->status,
                    TEXT_SHOWN, *text ? text : "look at the token");
    if (a->status == 404)
        return FAIL(err, E_NOT_FOUND, "'%s' does not have that, or does not show it to us", host);
    if (a->status == 409 || a->status == 422 || a->status == 400)
        return FAIL(err, E_FIELD_INVALID, "'%s' refuses it (%d): %.*s", host, a->status, TEXT_SHOWN,
                    text);
    if (a->status >= 300 && a->status <= 399)
        return FAIL(err, E_UNAVAILABLE, "'%s' sends us elsewhere, which is not followed: %.*s",
                    host, where.length < TEXT_SHOWN ? (int)where.length : TEXT_SHOWN,
                    where.length ? where.data : "");
    return FAIL(err, E_UNAVAILABLE, "'%s' answers %d: %.*s", host, a->status, TEXT_SHOWN, text);
}

/* rel="next" of a Link header, or GitLab's own header. */
static int64_t next_of(const struct http_answer *a)
{
    int64_t page = 0;
    struct err ignored = ERR_INIT;
    if (header_int(a, "X-Next-Page", &page))
        return page;
    for (struct str rest = http_answer_header(a, "Link"); rest.length > 0;) {
        AUTO_FREE char *part = str_dup(str_cut(&rest, ','));
        char *at = strstr(part, "page=");
        while (at && at > part && at[-1] != '?' && at[-1] != '&') /* not per_page */
            at = strstr(at + 1, "page=");
        if (!at || !strstr(part, "rel=\"next\""))
            continue;
        at += strlen("page=");
        struct str digits = {at, strspn(at, "0123456789")};
        if (str_to_int(digits, 1, 1 << 30, "page", &page, &ignored) == 0)
            return page;
    }
    return 0;
}

static int understand(struct forge *f, const struct http_answer *a, struct forge_answer *ret_answer,
                      json_t **ret_reply, struct err *err)
{
    AUTO_JSON *body = NULL;
    struct err ignored = ERR_INIT;
    bool good = a->status >= 200 && a->status <= 299;
    int parsed = a->body.length > 0 ? json_parse(buf_str(&a->body), &body, &ignored) : 0;
    if (is_busy(a)) {
        *ret_reply = json_object();
        json_put_int(*ret_reply, "wait_s", wait_of(a));
        return FORGE_WAIT;
    }
    if (good && parsed < 0)
        return FAIL(err, E_UNAVAILABLE,
                    "'%s' answers, but not as the API of a forge: look at its url", f->at.url.host);
    if (!good)
        (void)explain(f, a, body, err);
    if (a->status == 404)
        return FORGE_ABSENT;
    if (a->status == 409 || a->status == 422)
        return FORGE_REFUSED;
    if (!good)
        return -1;
    *ret_answer = (struct forge_answer){TAKE(body), next_of(a)};
    return 0;
}

int forge_request(struct forge *f, const char *method, const char *path, json_t *body,
                  struct forge_answer *ret_answer, json_t **ret_reply, struct err *err)
{
    struct http_answer answer = {0};
    AUTO_FREE char *text = body ? json_print(body) : NULL;
    AUTO_FREE char *whole = mem_format("%s%s", f->api, path);
    json_decref(body);
    if (http_client_call(f->client, method, whole, text, &answer, err) < 0)
        return -1;
    int result = understand(f, &answer, ret_answer, ret_reply, err);
    http_answer_done(&answer);
    return result;
}

void forge_answer_done(struct forge_answer *a)
{
    json_decref(a->body);
    *a = (struct forge_answer){0};
}
