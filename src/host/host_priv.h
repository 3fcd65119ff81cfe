/* Between host.c, verbs.c and journal.c. */
#pragma once
#include "host/host.h"

/* verbs.c: the dispatch table for channel_listen; it lives as long as the process. */
void verbs_handlers(struct host *h, struct channel_handlers *ret_handlers);
/* A channel has gone. */
void verbs_closed(void *context, struct channel *c);
/* The largest epoch that an earlier process saw; 0 when there was none. */
int verbs_epoch_load(struct host *h, struct err *err) MUST_CHECK;

/* journal.c: heads of core's journal, root-owned and only appended to. Opened once, before the
 * first verb (a failure is logged and the doctor's). journal.head: one more; answered when it is on
 * the disk. journal.heads: all of them, into the file that came along. */
void journal_open(const struct settings *s);
void journal_verb_head(void *context, struct message *m);
void journal_verb_heads(void *context, struct message *m);
void journal_doctor(json_t *checks);
