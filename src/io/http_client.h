/* A small HTTP client over libcurl (TCP or a unix socket), blocking: for the CLI, and for the
 * courier's calls of forges. No redirect is followed. Any one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

struct http_client;
struct http_client_options {
    const char *unix_socket;    /* NULL: TCP */
    const char *base_url;       /* "http://127.0.0.1:7000" */
    const char *bearer;         /* NULL: none */
    const char *ca_file;        /* NULL: the system's */
    const char *ca_pem;         /* certificates as text, in place of the system's; NULL: none */
    const char *pin;            /* "HOST:PORT:ADDRESS": go there, ask no resolver; NULL: none */
    const char *proxy;          /* a URL; "": none; NULL: as the environment says */
    const char *const *headers; /* "Name: value" to NULL, sent with each call; NULL: none */
    size_t body_max;            /* of an answer; 0: 64 MiB */
    int64_t timeout_ms;         /* 0: none (streams) */
};
struct http_client *http_client_new(const struct http_client_options *options);
void http_client_free(struct http_client *c);
struct http_answer {
    int status;
    struct buf body;
    struct buf headers; /* of the last answer, as they came */
};
void http_answer_done(struct http_answer *a);
/* The value of a header, without spaces around it; data NULL when there is none. */
struct str http_answer_header(const struct http_answer *a, const char *name);
/* What is sent along, borrowed: bytes of that media type. */
struct http_sent {
    const char *type;
    struct str bytes;
};
/* E_UNAVAILABLE when nobody answers. body may be NULL; it is sent as application/json. */
int http_client_call(struct http_client *c, const char *method, const char *path, const char *body,
                     struct http_answer *ret_answer, struct err *err) MUST_CHECK;
/* The same with a body that is no JSON; NULL: none. */
int http_client_send(struct http_client *c, const char *method, const char *path,
                     const struct http_sent *body, struct http_answer *ret_answer,
                     struct err *err) MUST_CHECK;
/* Give each line of the answer (without its end) to `on_line`; it returns false to stop. A status
 * other than 2xx gathers the body into ret_answer instead. */
int http_client_lines(struct http_client *c, const char *method, const char *path,
                      bool (*on_line)(void *context, struct str line), void *context,
                      struct http_answer *ret_answer, struct err *err) MUST_CHECK;
