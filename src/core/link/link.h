/* A link to another role: its channel, connected again whenever it breaks (100 ms to 2 s), hello
 * first. Requests while it is down fail with E_ROLE_DOWN at once. Loop thread. */
#pragma once
#include <stdbool.h>
#include "core/core.h"
#include "io/message.h"

struct link_options {
    const char *name; /* "host": the socket is run_dir/host.sock */
    const struct message_verb
        *verbs; /* requests and notices from that role; context is struct core * */
    size_t verb_count;
    void (*on_up)(struct core *core); /* hello was answered: act again on all that is in flight; may
                                         be NULL */
};
struct link *link_new(struct core *core, const struct link_options *options);
void link_free(struct link *l);
bool link_up(const struct link *l);
/* What the role last answered to hello; NULL before. */
const json_t *link_hello(const struct link *l);
/* Takes args. on_reply exactly once, on the loop, outside any input. timeout_ms 0: none. */
void link_call(struct link *l, const char *verb, json_t *args, int64_t timeout_ms,
               void (*on_reply)(void *context, json_t *ok, const struct err *error), void *context);
/* With fds and events. */
void link_request(struct link *l, const struct channel_request *request);
