/* Between host.c, verbs.c and journal.c. */
#pragma once
#include "host/host.h"

/* verbs.c: the dispatch table for channel_listen; it lives as long as the process. */
void verbs_handlers(struct host *h, struct channel_handlers *ret_handlers);
/* A channel has gone. */
void verbs_closed(void *context, struct channel *c);
/* The largest epoch that an earlier process saw; 0 when there was none. */
int verbs_epoch_load(struct host *h, struct err *err) MUST_CHECK;

/* journal.c: heads of core's journal, root-owned and only appended to. */
int journal_head_append(const struct settings *s, int64_t seq, const char *hash,
                        struct err *err) MUST_CHECK;
/* The last `most` of them: an array of {"seq","hash"}. */
int journal_last(const struct settings *s, size_t most, json_t **ret_heads,
                 struct err *err) MUST_CHECK;
