/* A strict HTTP/1.1 server on the loop (TCP and unix sockets).
 *
 * The header block is buffered (32 KiB at most) and scanned strictly before http-parser sees it:
 * what facts about request smuggling forbid (two Content-Length, CL with TE, TE other than
 * "chunked", obs-fold, bare LF or CR, space before the colon, bad field-name bytes, no or two Host,
 * '+5', NUL ...) is answered 400 and closed. Bodies stream with back-pressure both ways: gigabytes
 * in constant memory. A peer that closes its sending half before the answer began has gone away.
 * Limits and times are in struct http_limits. Pipelined requests are answered
 * in order, one at a time. Loop thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/str.h"

#define HTTP_ADDRESS_SIZE 46 /* of an IPv6 address as text */
struct http_limits {
    size_t header_max;       /* 0: 32 KiB, the whole block */
    size_t headers_max;      /* 0: 100 fields */
    size_t connections_max;  /* 0: 1000; above, the newest connection gets 503 and is closed */
    int64_t header_ms;       /* 0: 10 s for the whole header block */
    int64_t idle_ms;         /* 0: 60 s between requests on a kept connection */
    int64_t body_min_rate;   /* 0: 1024 bytes/s averaged over 10 s windows, else 408 */
    int64_t write_stall_ms;  /* 0: 60 s without the peer taking a byte */
    size_t stream_queue_max; /* 0: 256 KiB queued to an event-stream client: then it is dropped */
    int64_t body_window_ms;  /* 0: 10 s, what body_min_rate is averaged over */
    int64_t ping_ms;         /* 0: 15 s between pings of an event stream */
};
struct http_server;
struct http_request; /* freed by the server after its response is complete or the peer is gone */

struct http_server_callbacks {
    /* Headers are complete. The callee must, now or later: accept the body (http_body_collect or
     * http_body_stream) or ignore it, and respond exactly once. */
    void (*on_request)(void *context, struct http_request *r);
    void *context;
};
/* Takes the listening fd. */
struct http_server *http_server_new(int listen_fd, const struct http_limits *limits,
                                    const struct http_server_callbacks *callbacks);
/* Stop accepting, answer what is in progress, then close (idle connections at once). Event streams
 * have no end of their own: they are ended here. NULL is fine. */
void http_server_free(struct http_server *s);
size_t http_server_connections(const struct http_server *s);

/* What was asked; views are valid as long as the request. */
struct str http_method(const struct http_request *r);
struct str http_path(const struct http_request *r);  /* raw, up to '?'; not decoded */
struct str http_query(const struct http_request *r); /* raw, without '?'; may be empty */
struct str http_header(
    const struct http_request *r,
    const char *name); /* case-insensitive; data NULL when absent. Repeated fields: the first */
int64_t http_content_length(const struct http_request *r); /* -1: chunked; 0: none */
size_t http_header_count(const struct http_request *r);
void http_header_at(const struct http_request *r, size_t index, struct str *ret_name,
                    struct str *ret_value);
const char *http_peer(const struct http_request *r); /* "127.0.0.1" or "unix" */
/* The address that the connection came to, as text of inet_ntop; false on a unix socket. */
bool http_local(const struct http_request *r, char ret_text[HTTP_ADDRESS_SIZE]);
uid_t http_peer_uid(
    const struct http_request *r); /* SO_PEERCRED of a unix socket; (uid_t)-1 on TCP */
/* Decode one query parameter (form encoding) to the heap: NULL when absent; E_REQUEST_INVALID when
 * malformed, repeated, holding NUL or bad UTF-8. */
int http_query_get(const struct http_request *r, const char *name, char **ret_value,
                   struct err *err) MUST_CHECK;
/* Percent-decode a path segment once; refuses '/', NUL, bad UTF-8, "." and "..". */
int http_decode_segment(struct str raw, char **ret_text, struct err *err) MUST_CHECK;

/* The caller's pointer on a request, and word of its end: on_close runs exactly once when the
 * request is about to be freed, complete or not. */
void http_set_context(struct http_request *r, void *context,
                      void (*on_close)(void *context, bool complete));
void *http_context(const struct http_request *r);

/* Body. Collect: on_body once with all of it; past `max` the server answers 413 itself and on_body
 * is not called. A peer that goes away: on_body is not called, on_close is. */
void http_body_collect(struct http_request *r, size_t max,
                       void (*on_body)(struct http_request *r, struct str body));
/* Stream: on_data for each piece, on_end once. http_body_pause stops reading from the socket. */
void http_body_stream(struct http_request *r,
                      void (*on_data)(struct http_request *r, struct str data),
                      void (*on_end)(struct http_request *r));
void http_body_pause(struct http_request *r, bool paused);

/* Response. Headers are an array of name, value, name, value, ..., NULL. Date, Content-Length or
 * Transfer-Encoding and Connection are ours. CR, LF or NUL in a value is an assertion failure. */
void http_respond(struct http_request *r, int status, const char *const *headers, struct str body);
/* {"error":..., "class":..., "text":...} with the status of the kind. */
void http_respond_error(struct http_request *r, const struct err *error);
enum http_begin_flags { HTTP_BEGIN_CHUNKED = 0, HTTP_BEGIN_LENGTH = 1, HTTP_BEGIN_EVENTS = 2 };
/* Streamed: LENGTH uses `length`; EVENTS is a text/event-stream that is pinged every 15 s. */
void http_begin(struct http_request *r, int status, const char *const *headers,
                enum http_begin_flags flags, int64_t length);
/* Queue bytes (copied). Returns the bytes queued now: above 1 MiB (events: 128 KiB) a polite caller
 * waits for on_drain; past 64 MiB (events: stream_queue_max) the connection is broken. */
size_t http_write(struct http_request *r, struct str data);
void http_on_drain(struct http_request *r,
                   void (*fn)(struct http_request *r)); /* below 256 KiB again (events: 64 KiB) */
void http_end(struct http_request *r);
/* Break the connection (soon, on_close follows): a streamed response that cannot be completed. */
void http_abort(struct http_request *r);
bool http_responded(const struct http_request *r);
