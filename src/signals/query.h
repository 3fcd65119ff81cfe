/* Questions of core: lines and requests (once, or followed), counts. Loop thread. */
#pragma once
#include "io/message.h"
#include "signals/app_env.h"

void query_verb_logs(void *context, struct message *m);
void query_verb_requests(void *context, struct message *m);
void query_verb_more(void *context, struct message *m);
void query_verb_cancel(void *context, struct message *m);
void query_verb_top(void *context, struct message *m);
/* Something came in: the followers of it are served soon. */
void query_fresh(void);
bool query_is_followed(void);
/* Is a follower about to lose lines of this app-env, though it reads? Then the files can wait for
 * it a little: a burst larger than a ring reaches who is fast enough. */
bool query_is_behind(const struct app_env *a);
void query_channel_closed(struct channel *c); /* its followers go */
size_t query_follower_count(void);
void query_stop(void);
