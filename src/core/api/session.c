/* A browser's session: the same token that programs send, in a cookie that no script can read. Who
 * signs in with "cookie": true gets it there instead of in the reply.
 *
 * Browsers send a cookie to whoever asks them to, so a request that changes something and is known
 * by its cookie alone must say that it comes from a page of ours: by Origin (checked for every
 * request), or by Sec-Fetch-Site. Two tabs share a cookie: a page says whose it is
 * (X-Slipway-User), so that it never acts for somebody who signed in beside it. Over HTTPS the
 * cookie has the prefix __Host-, which keeps an app on a domain beside ours from planting one. */
#include "core/api/api_priv.h"

#define NAME_PLAIN "slipway"
#define NAME_SECURE "__Host-slipway"
#define ATTRIBUTES "; Path=/; HttpOnly; SameSite=Strict"
#define COOKIE_DAYS 30 /* as long as a session lives */

/* The edge says how it was asked; strangers who say so themselves only rename their own cookie. */
static bool is_secure(const struct api_call *call)
{
    return str_is(http_header(call->http, "x-forwarded-proto"), "https");
}

static const char *cookie_name(const struct api_call *call)
{
    return is_secure(call) ? NAME_SECURE : NAME_PLAIN;
}

int session_token(const struct api_call *call, struct str *ret_token, struct err *err)
{
    const char *wanted = cookie_name(call);
    size_t found = 0;
    *ret_token = (struct str){NULL, 0};
    for (size_t i = 0; i < http_header_count(call->http); i++) {
        struct str name, rest;
        http_header_at(call->http, i, &name, &rest);
        if (!str_equal_nocase(name, "cookie"))
            continue;
        while (rest.data) {
            struct str value = str_trim(str_cut(&rest, ';'));
            if (!str_is(str_cut(&value, '='), wanted) || !value.data)
                continue;
            *ret_token = value;
            found++;
        }
    }
    if (found > 1)
        return FAIL(err, E_UNAUTHENTICATED,
                    "the browser sent two sessions: delete the cookies of this site, then sign in");
    return 0;
}

int session_check(const struct api_call *call, struct err *err)
{
    struct str user = http_header(call->http, "x-slipway-user");
    struct str method = http_method(call->http);
    if (user.data && !str_is(user, call->who.name))
        return FAIL(err, E_UNAUTHENTICATED,
                    "somebody else has signed in in this browser: load the page again");
    if (str_is(method, "GET") || str_is(method, "HEAD") || http_header(call->http, "origin").data ||
        str_is(http_header(call->http, "sec-fetch-site"), "same-origin"))
        return 0; /* another Origin than ours was refused before */
    return FAIL(err, E_ORIGIN_FORBIDDEN,
                "a request with a cookie must say that it comes from a page of this server: send "
                "Origin, or a token instead of the cookie");
}

void session_give(struct api_call *call)
{
    const char *token = json_text(call->reply, "token");
    if (!call->http || !token)
        return;
    free(call->cookie);
    call->cookie = mem_format("%s=%s; Max-Age=%d" ATTRIBUTES "%s", cookie_name(call), token,
                              COOKIE_DAYS * 24 * 3600, is_secure(call) ? "; Secure" : "");
    (void)json_object_del(call->reply, "token");
}

void session_take(struct api_call *call)
{
    free(call->cookie);
    call->cookie = mem_format("%s=; Max-Age=0" ATTRIBUTES "%s", cookie_name(call),
                              is_secure(call) ? "; Secure" : "");
}
