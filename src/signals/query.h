/* Questions of core: lines and requests (once, or followed), counts. Loop thread. */
#pragma once
#include "io/message.h"

void query_verb_logs(void *context, struct message *m);
void query_verb_requests(void *context, struct message *m);
void query_verb_cancel(void *context, struct message *m);
void query_verb_top(void *context, struct message *m);
/* Something came in: the followers of it are served soon. */
void query_fresh(void);
bool query_is_followed(void);
void query_channel_closed(struct channel *c); /* its followers go */
size_t query_follower_count(void);
void query_stop(void);
