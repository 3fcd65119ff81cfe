/* Framed JSON messages between roles over unix stream sockets, with file descriptors.
 *
 * Frame: 4 bytes length (big endian), then that many bytes of JSON (one object). Kinds:
 *   {"id":7,"verb":"instance.start","args":{...}}        a request
 *   {"id":7,"event":"output","args":{...}}               progress of request 7, any number
 *   {"id":7,"ok":{...}}  or  {"id":7,"error":"name","class":"C","text":"..."}   its one reply
 *   {"verb":"repo.changed","args":{...}}                 a notice: no reply
 * Either side of a channel may send requests. At most CHANNEL_FDS fds ride on one message. A frame
 * over the limit, bad JSON, an unknown kind or too many fds closes the channel (and is logged).
 * The peer's uid is taken from SO_PEERCRED once and must be one of those allowed. Loop thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"

#define CHANNEL_FRAME_MAX (8u << 20)
#define CHANNEL_FDS 4
#define CHANNEL_QUEUE_MAX (64u << 20) /* queued bytes past which the channel is closed */

struct channel;
struct message { /* one that came in; valid during the callback */
    struct channel *channel;
    int64_t id; /* 0: a notice */
    const char *verb;
    json_t *args;         /* borrowed; an object, never NULL */
    int fds[CHANNEL_FDS]; /* -1 where none; take one with TAKE_FD, the rest is closed afterwards */
};

/* What a verb may carry, checked before the handler runs (see base/json.h). */
struct message_verb {
    const char *verb;
    const struct json_field *fields;
    size_t field_count;
    int fd_count; /* exactly that many fds must come along; -1: 0 or 1 */
    void (*handle)(void *context, struct message *m);
};
struct channel_handlers {
    const struct message_verb *verbs; /* a verb that is not listed is answered with E_PROTOCOL */
    size_t verb_count;
    void (*on_close)(void *context, struct channel *c); /* once, unless channel_free came first; the
                                                           channel is freed after it */
    void *context;
};
/* Take over a connected socket. */
struct channel *channel_new(int fd, const struct channel_handlers *handlers);
void channel_free(struct channel *c); /* pending requests fail with E_ROLE_DOWN; NULL is fine */
void channel_set_context(struct channel *c, void *context);
uid_t channel_peer_uid(const struct channel *c);
pid_t channel_peer_pid(const struct channel *c);
size_t channel_queued(const struct channel *c); /* bytes not yet written: for back-pressure */

/* Connect to a unix socket (blocking connect: local, immediate). E_ROLE_DOWN when nobody listens.
 */
int channel_connect(const char *path, const struct channel_handlers *handlers,
                    struct channel **ret_channel, struct err *err) MUST_CHECK;

/* Send a request. `args` is taken. fds are borrowed: dup'ed into the message, the caller closes its
 * own. on_reply is called exactly once (E_TIMEOUT after timeout_ms > 0, E_ROLE_DOWN when the
 * channel closes): error NULL and `ok` borrowed, or ok NULL. on_event may be NULL. */
struct channel_request {
    const char *verb;
    json_t *args;
    int fds[CHANNEL_FDS];
    size_t fd_count;
    int64_t timeout_ms;
    void (*on_event)(void *context, const char *event, json_t *args);
    void (*on_reply)(void *context, json_t *ok, const struct err *error);
    void *context;
};
void channel_request(struct channel *c, const struct channel_request *request);
void channel_notify(struct channel *c, const char *verb, json_t *args, const int *fds,
                    size_t fd_count); /* takes args */

/* Answering. A handler that answers later keeps a ticket: it survives the channel's end (answers
 * are then dropped) and must be answered exactly once. */
struct ticket;
struct ticket *
message_ticket(struct message *m);            /* NULL for a notice: all calls below accept NULL */
void ticket_ok(struct ticket *t, json_t *ok); /* takes ok (NULL: {}); frees the ticket */
void ticket_fail(struct ticket *t, const struct err *error);          /* frees the ticket */
void ticket_event(struct ticket *t, const char *event, json_t *args); /* takes args */
bool ticket_alive(const struct ticket *t);      /* is the asker still connected? */
void message_ok(struct message *m, json_t *ok); /* the short forms, within the handler */
void message_fail(struct message *m, const struct err *error);

/* Listening: fd is a listening unix socket (from the supervisor). A peer whose uid is neither 0,
 * ours, nor in allowed_uids is closed at once. on_channel receives handlers->context and each new
 * channel (not yet reading until it returns); channel_free refuses it. */
struct channel_listener;
struct channel_listener *channel_listen(int fd, const uid_t *allowed_uids, size_t uid_count,
                                        const struct channel_handlers *handlers,
                                        void (*on_channel)(void *context, struct channel *c));
void channel_listener_free(struct channel_listener *l);
