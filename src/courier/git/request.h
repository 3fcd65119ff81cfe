/* What a git client asked over HTTP: the route, the credential, the inflated body. Any thread. */
#pragma once
#include <stdbool.h>
#include <zlib.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

enum git_service { GIT_FETCH, GIT_PUSH };
struct git_route {
    char app[41];
    enum git_service service;
    bool advertise; /* GET info/refs; otherwise the POST */
};
/* Exact routes only: nothing is decoded, so nothing can be spelled twice. E_NOT_FOUND,
 * E_METHOD_NOT_ALLOWED. */
int git_route_parse(struct str method, struct str path, struct str query,
                    struct git_route *ret_route, struct err *err) MUST_CHECK;
/* "git-upload-pack" */
const char *git_service_name(enum git_service service);

/* "Basic BASE64" of an Authorization header: strict. E_UNAUTHENTICATED. */
struct git_login {
    char *user;
    struct secret secret;
};
int git_login_parse(struct str header, struct git_login *ret_login, struct err *err) MUST_CHECK;
void git_login_done(struct git_login *l);

/* A gzip body inflated in pieces. */
struct inflater {
    z_stream z;
    bool on;
    bool ended;
};
int inflater_init(struct inflater *i, struct err *err) MUST_CHECK;
void inflater_done(struct inflater *i);
/* Inflate from `input` (what was used is cut off its front) into `out`; *ret_made may be 0 only
 * when the input is used up or the stream has ended. Bytes after the end of the stream are
 * E_REQUEST_INVALID. */
int inflater_next(struct inflater *i, struct str *input, char *out, size_t out_size,
                  size_t *ret_made, struct err *err) MUST_CHECK;
