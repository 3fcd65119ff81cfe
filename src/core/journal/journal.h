/* The journal: every decision, in order, hash-chained over the stored bytes; it is the audit log.
 * Progress and output are not decisions and do not stand here. Loop thread. */
#pragma once
#include <jansson.h>
#include "core/core.h"
#include "base/err.h"
#include "core/store/store.h"

extern const char journal_schema[];
extern const char journal_actor_schema[]; /* an index by actor */
/* Append within an input. actor: "user:NAME", "token:USER/NAME", "core", "root"; kind:
 * "rollout.started"; subject: "shop.prod" or "user:wang" (NULL: none); data is borrowed (NULL: {});
 * app_env_id 0: none (who may see it). Also publishes it on the feed, and sends the new head to
 * host, once durable. */
int journal_append(struct core *core, const char *actor, const char *kind, const char *subject,
                   int64_t app_env_id, const json_t *data, struct err *err) MUST_CHECK;
/* Send the head to host again: it was away and may have missed the last ones. */
void journal_tell_head(struct core *core);
/* Rows after `after`, at most `limit`; newest first when `newest`.
 * {"seq","at","actor","kind","subject","data","hash"}. subject (NULL: all): that one and what lies
 * below it: "shop" is shop and shop.prod, not shop2; "user:" is everybody. */
int journal_list(struct core *core, int64_t after, int64_t limit, bool newest, const char *subject,
                 json_t **ret_rows, struct err *err) MUST_CHECK;
/* What became of branches, newest first: rows branch.created and repo.pushed of an actor, or (actor
 * NULL) rows branch.deleted and repo.pushed of an app that say that a branch went, after `after`.
 * {"seq","at","kind","subject" (the app),"data"} */
int journal_of_branches(struct core *core, const char *actor, const char *app, int64_t after,
                        int64_t limit, json_t **ret_rows, struct err *err) MUST_CHECK;
/* Who made the app that was made at `since`, as the first row that says so has it: {"at","actor"};
 * STORE_NONE when none does. */
int journal_app_created(struct core *core, const char *app, int64_t since, json_t **ret_row,
                        struct err *err) MUST_CHECK;
/* Walk the whole chain against all heads that host keeps: `heads_fd` is a file of lines "SEQ HASH"
 * (-1: none to compare). Reply {"ok", "rows", "head", "heads": how many were compared, "first_bad":
 * seq or null, "text"}. */
int journal_verify(struct core *core, int heads_fd, json_t **ret_report,
                   struct err *err) MUST_CHECK;
