/* Inside the HTTP server: the strict scan, the parser behind it, connections and responses.
 *
 *   socket -> http_server.c (accept, limits in time) -> http_connection.c (one state machine)
 *             -> http_scan.c (is every byte as we want it?) -> http_parse.c (http-parser agrees)
 *             -> the owner's callbacks -> http_response.c -> socket
 *
 * http_request.c holds what the owner may ask and say about a request, http_decode.c the decoding
 * of paths and queries. All for the loop thread; scan, parse and decode are pure. */
#pragma once
#include <uv.h>
#include "base/buf.h"
#include "io/http_server.h"
#include "io/loop.h"

/* Scan. */

struct http_span { /* a piece of the header block */
    uint32_t at;
    uint32_t length;
};
struct http_field {
    struct http_span name;
    struct http_span value; /* without the white space around it */
};
struct http_head {
    struct http_field *fields; /* the caller's, room for field_max */
    size_t field_max;
    size_t field_count;
    struct http_span method;
    struct http_span target;
    size_t length; /* of the whole block with its empty line */
    bool version_1_0;
    bool chunked;
    bool has_length;
    bool expect_continue;
    int64_t content_length; /* 0 without the field */
};
struct http_scan { /* how far the search for the end came; zero it for each request */
    size_t at;
    size_t line;
};
/* Look for a complete, faultless header block at the beginning of input (`input` may grow between
 * calls). HTTP_SCAN_MORE: not complete yet. Errors: E_REQUEST_INVALID, E_HEADER_TOO_LARGE,
 * E_METHOD_NOT_ALLOWED, E_EXPECTATION_FAILED. */
#define HTTP_SCAN_MORE 1
int http_scan_head(struct http_scan *s, struct str input, size_t header_max,
                   struct http_head *ret_head, struct err *err) MUST_CHECK;

enum http_guard_state {
    GUARD_SIZE,
    GUARD_EXTENSION,
    GUARD_SIZE_LF,
    GUARD_DATA,
    GUARD_DATA_CR,
    GUARD_DATA_LF,
    GUARD_TRAILER_START,
    GUARD_TRAILER_NAME,
    GUARD_TRAILER_VALUE,
    GUARD_TRAILER_LF,
    GUARD_LAST_LF,
    GUARD_DONE,
};
/* Follows the framing of a chunked body and refuses what the parser lets through. Zeroed at
 * first. */
struct http_guard {
    enum http_guard_state state;
    uint32_t count; /* digits of a size; bytes of an extension or of the trailers */
    uint64_t left;  /* of the chunk */
};
/* How many of these bytes belong to the body (all, unless it ends among them). */
int http_guard_take(struct http_guard *g, struct str data, size_t *ret_used,
                    struct err *err) MUST_CHECK;

/* Parse. */

struct http_parse {
    _Alignas(8) char state[40]; /* a struct http_parser; only http_parse.c knows */
    struct http_guard guard;
    uint64_t left; /* of a body with a length */
    bool chunked;
    bool keep_alive; /* what the head says */
    bool complete;   /* the body is at its end */
    void (*on_body)(void *context, struct str data);
    void *context;
};
/* Parse a scanned block; E_REQUEST_INVALID when the parser sees anything otherwise. */
int http_parse_head(struct http_parse *p, struct str block, const struct http_head *head,
                    struct err *err) MUST_CHECK;
/* Give on_body what is body; *ret_used bytes belonged to it. */
int http_parse_body(struct http_parse *p, struct str data, size_t *ret_used,
                    struct err *err) MUST_CHECK;

/* Decode. */

/* As http_query_get, over a raw query. */
int http_query_find(struct str query, const char *name, char **ret_value,
                    struct err *err) MUST_CHECK;

/* The server and its connections. */

struct http_server {
    union {
        uv_tcp_t tcp;
        uv_pipe_t pipe;
        uv_stream_t stream;
        uv_handle_t handle;
    } listener;
    bool unix_socket;
    bool closing;
    size_t holds; /* the listener and each connection */
    struct http_limits limits;
    struct http_server_callbacks callbacks;
    struct http_connection *connections;
    size_t connection_count;
    struct timer *sweep;
    struct http_field *fields; /* scratch of the scan */
    struct buf head;           /* scratch of a response's head */
};

enum http_state {
    STATE_HEAD,     /* waiting for or reading a header block */
    STATE_BODY,     /* the owner has the request; its body is not yet delivered */
    STATE_RESPONSE, /* the body is delivered or given up; waiting for the response's end */
    STATE_LINGER,   /* the last answer is written: let the peer read it, then close */
    STATE_CLOSED,
};
struct http_connection {
    union {
        uv_tcp_t tcp;
        uv_pipe_t pipe;
        uv_stream_t stream;
        uv_handle_t handle;
    } socket;
    struct http_server *server;
    struct http_connection *next;
    struct http_connection **link;
    struct http_request *request;
    struct buf input; /* read, but not yet used */
    struct http_scan scan;
    struct http_parse parse;
    enum http_state state;
    bool head_started; /* a byte of the block has come */
    bool reused;       /* this is not its first request */
    bool pumping;
    bool kicked; /* a deferred pump is on its way */
    bool broken; /* to be dropped as soon as nothing of ours is on the stack */
    bool reading;
    bool eof;
    bool shut;
    int64_t since_ms; /* of the state */
    int64_t window_ms;
    uint64_t window_bytes;
    uint64_t queued_total;
    uint64_t written_seen;
    int64_t progress_ms;
    int64_t last_write_ms;
};
#define HTTP_OUTPUT_LOW (256u << 10)
#define HTTP_EVENTS_LOW (64u << 10) /* of event streams */

enum http_sink { SINK_NONE, SINK_COLLECT, SINK_STREAM, SINK_DISCARD };
enum http_answer_state { ANSWER_NONE, ANSWER_STREAMING, ANSWER_ENDED };
struct http_request {
    struct http_connection *connection;
    void *context;
    void (*on_close)(void *context, bool complete);
    char *block;
    struct http_field *fields;
    size_t field_count;
    struct str method, path, query;
    char *peer; /* made when asked for */
    int64_t content_length;
    bool version_1_0;
    bool is_head;
    bool expect_continue;
    bool close;   /* the connection ends with the response */
    bool refused; /* the server answered itself: the owner's answers are dropped */
    bool paused;
    bool chunked_out;
    bool events;
    bool bodyless; /* HEAD, 204, 304: nothing follows the head */
    bool above;    /* the output queue went over the low mark */
    enum http_sink sink;
    enum http_answer_state answer;
    uint64_t received;
    int64_t length_left; /* of an answer with a length; -1: without */
    struct buf collected;
    void (*on_body)(struct http_request *r, struct str body);
    void (*on_data)(struct http_request *r, struct str data);
    void (*on_end)(struct http_request *r);
    void (*on_drain)(struct http_request *r);
};

/* http_server.c */
void http_server_unhold(struct http_server *s);

/* http_connection.c */
struct http_connection *http_connection_new(struct http_server *s);
void http_connection_pump(struct http_connection *c, struct str fresh);
void http_connection_kick(struct http_connection *c); /* pump soon */
void http_connection_drop(struct http_connection *c); /* close now; its request is told */
void http_connection_linger(struct http_connection *c);
void http_connection_sweep(struct http_connection *c, int64_t now_ms);
void http_connection_start(struct http_connection *c);
int64_t http_now(void);
/* Answer with this error, or break off when an answer has begun. */
void http_request_refuse(struct http_request *r, const struct err *error);

/* http_response.c */
size_t http_queued(const struct http_connection *c);
void http_send(struct http_connection *c, const uv_buf_t *parts, unsigned count);
/* An answer without a request: to a faulty head, or to one connection too many. */
void http_send_error(struct http_connection *c, const struct err *error);
void http_answer_error(struct http_request *r, const struct err *error);
