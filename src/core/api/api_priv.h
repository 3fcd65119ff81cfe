/* Inside the API: a call, its route, and how handlers answer. */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access.h"
#include "core/api/api.h"
#include "core/env/env.h"
#include "io/http_server.h"

#define API_PARAMS_MAX 4
#define API_BODY_MAX (256 * 1024)
#define API_RAW_MAX (1024 * 1024)       /* of a body taken as it is, from strangers */
#define API_RAW_KNOWN_MAX (4096 * 1024) /* from those who are signed in */
#define API_RAW_AT_ONCE 64              /* of strangers, and of others */
#define API_LATER                                                                                  \
    1 /* a handler that answers by api_reply or api_fail later (it holds a reference) */

struct api_call;
/* Runs within an input (route flag API_INPUT) or as a plain reader. Sets call->reply and returns 0,
 * fails with -1, or returns API_LATER. */
typedef int api_handler_fn(struct api_call *call, struct err *err);
enum api_flags {
    API_READ = 0,     /* reads only */
    API_WRITE = 1,    /* runs within an input; needs a token that may write */
    API_NO_INPUT = 2, /* writes later, in inputs of its own (asks other roles first) */
    API_STREAM = 4,   /* may answer with an event stream */
    API_RAW = 8,      /* takes a body of any kind as it is */
};
struct api_route {
    const char *method;
    const char *path; /* "/apps/{app}/envs/{env}/builds/{build}" below /api/v1 */
    enum permission permission;
    int flags;
    api_handler_fn *handle;
    const struct json_field *fields; /* of the body; NULL: no body */
    size_t field_count;
    int status; /* of success */
    const char *summary;
    const struct json_field *query; /* what it reads of the query: said in docs/generated, and not
                                       what refuses a request; NULL: nothing */
    size_t query_count;
};
extern const struct api_route api_routes[];
extern const size_t api_route_count;

struct api_call {
    int references;
    struct core *core;
    struct http_request *http; /* NULL once the asker is gone */
    const struct api_route *route;
    struct person who;
    bool has_app;
    bool has_app_env;
    struct app app;
    struct app_env ae;
    const char *param_names[API_PARAMS_MAX]; /* of the route, without braces, in order */
    size_t param_name_lengths[API_PARAMS_MAX];
    char *params[API_PARAMS_MAX];
    size_t param_count;
    json_t *body;       /* an object, checked; NULL without a body */
    struct str raw;     /* of a route with API_RAW: the body, while the handler runs */
    bool raw_collected; /* it counts among those that are being read */
    json_t *reply;      /* what a handler gives; owned */
    int status;
    int64_t retry_after_s; /* 0: nothing to say */
    bool by_cookie;        /* a browser's session told who asks */
    char *cookie;          /* to be set with the reply; NULL: none */
    void *stream;          /* of the handler that streams */
    void (*on_gone)(struct api_call *call);
    void (*on_room)(struct api_call *call); /* the asker takes more again */
};
struct api_call *api_ref(struct api_call *call);
void api_unref(struct api_call *call);
/* Answer after the current turn is durable; takes reply, drops the caller's reference. */
void api_reply(struct api_call *call, int status, json_t *reply);
void api_fail(struct api_call *call, const struct err *error);
/* With what the text has no room for: "detail" beside it, a bounded object (NULL: as api_fail). */
void api_fail_detail(struct api_call *call, const struct err *error, const json_t *detail);
const char *api_param(const struct api_call *call,
                      const char *name); /* decoded; asserts that the route has it */
/* Where the asker is: behind the edge, or another proxy on this machine, as that says. Heap. */
char *api_address(const struct api_call *call);
/* A number in the path: E_NOT_FOUND when it is none. */
int api_param_int(const struct api_call *call, const char *name, int64_t *ret_value,
                  struct err *err) MUST_CHECK;
/* A query parameter as an integer in [min, max]; the fallback when absent. */
int api_query_int(const struct api_call *call, const char *name, int64_t min, int64_t max,
                  int64_t fallback, int64_t *ret_value, struct err *err) MUST_CHECK;
int api_query_text(const struct api_call *call, const char *name, char **ret_text_or_null,
                   struct err *err) MUST_CHECK;
/* after (0) and limit (100, at most 1000) */
int api_query_page(const struct api_call *call, int64_t *ret_after, int64_t *ret_limit,
                   struct err *err) MUST_CHECK;
/* {"items": rows, "next": key of the last row or null}; takes rows. */
json_t *api_page(json_t *rows, const char *key, int64_t limit);
/* The same of a list that is whole and has names: the rows behind the one that `after` of the query
 * names, `limit` of them. owner (NULL: none): a row is named "OWNER/NAME". Sets the reply; takes
 * rows. */
int api_page_by_name(struct api_call *call, json_t *rows, const char *owner,
                     struct err *err) MUST_CHECK;
/* Run fn within an input and answer with call->reply (or the error): for handlers that asked
 * another role first. Drops the caller's reference. */
void api_finish_input(struct api_call *call,
                      int (*fn)(struct api_call *call, void *context, struct err *err),
                      void *context);
/* An event stream that re-checks the person's rights every few seconds and closes when they are
 * gone. */
void api_stream_begin(struct api_call *call);
/* May the asker still use this route for these objects? */
bool api_still_allowed(struct api_call *call);
/* One event more to what is to be sent. */
#define API_STREAM_PIECE (32u << 10) /* send when there is that much */
void api_stream_put(struct buf *out, int64_t id, const char *event, const json_t *data);
/* Send and empty it. False: the asker is gone or has enough for now (then call->on_room comes):
 * what is not sent stays where it is kept, and the reader's cursor stays with it. */
bool api_stream_send(struct api_call *call, struct buf *out);

/* ---- refused.c: what strangers were refused, by kind ---- */
void refused_count(enum err_kind kind);
json_t *refused_counts(void);        /* {"unauthenticated": 12}, since the start */
bool refused_news(struct buf *text); /* what came since the last call; false: nothing */
void refused_start(void);
void refused_stop(void);

/* ---- session.c: the session of a browser ---- */
/* The token in the request's cookie (a view; data NULL: none); E_UNAUTHENTICATED when there are
 * two. */
int session_token(const struct api_call *call, struct str *ret_token, struct err *err) MUST_CHECK;
/* For who was told by that cookie: it asks for itself, and from a page of ours. */
int session_check(const struct api_call *call, struct err *err) MUST_CHECK;
void session_give(struct api_call *call); /* the "token" of the reply becomes the cookie */
void session_take(struct api_call *call); /* the cookie ends */
/* May the person view that app (env_id 0), or that app-env? */
bool api_may_view(struct api_call *call, int64_t app_id, int64_t env_id);
bool api_may_view_env(struct api_call *call, int64_t app_id, const char *env); /* by its name */
/* "envs": names of those where the branch is ticked, of those that the person may view. */
void api_put_ticked_envs(struct api_call *call, int64_t app_id, const char *branch, json_t *target);

#define API_HANDLER(name) int name(struct api_call *call, struct err *err)
