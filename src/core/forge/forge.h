/* Forges, and the repositories elsewhere that apps follow.
 *
 * A forge is where such repositories live: GitLab, GitHub, Gitea, or anything that git can talk to
 * (kind "git": no API). What we are there is sealed in its row and goes to the courier with each
 * call, by an fd. An app's origin is its repository on a forge, or at a public address without one.
 * It is the truth: the courier fetches it (core/follow), nobody pushes here, and what we change is
 * pushed there first (origin_ask). Loop thread; writes only within an input. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char forge_schema[]; /* forge, origin, commit_status */

typedef void forge_reply_fn(void *context, json_t *ok, const struct err *error);
typedef void forge_event_fn(void *context, const char *event, json_t *args);

/* ---- forges ---- */

/* {"id","name","kind","url","login","ca","known_hosts","seen_as": who we are there,"at","by",
 * "apps": how many follow one of its repositories}; never a secret. */
int forge_list(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;
int forge_row(struct core *core, const char *name, json_t **ret_row, struct err *err) MUST_CHECK;
int forge_row_of(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
/* given: {"name","kind","url","login","token","key","known_hosts","ca"} as a person gave it,
 * checked. E_NAME_INVALID, E_FIELD_INVALID, E_URL_SCHEME, E_HOST_INVALID. */
int forge_check(const json_t *given, struct err *err) MUST_CHECK;
/* A new one, or one of that name with other words and another secret. seen_as may be NULL. */
int forge_put(struct core *core, const struct person *by, const json_t *given, const char *seen_as,
              struct err *err) MUST_CHECK;
/* E_STATE_CONFLICT while an app follows a repository of it. */
int forge_remove(struct core *core, const struct person *by, const char *name,
                 struct err *err) MUST_CHECK;
/* A verb of the courier's with "forge" and its secret: row is a forge_row, or what forge_check
 * passed. hook: of a webhook, or NULL. Takes args. */
void forge_ask(struct core *core, const json_t *row, const char *verb, json_t *args,
               const struct secret *hook, forge_reply_fn *on_reply, void *context);

/* ---- origins ---- */

enum origin_state { ORIGIN_NEW, ORIGIN_GOOD, ORIGIN_FAILING };
enum origin_event { ORIGIN_FETCHED, ORIGIN_FAILED };
extern const struct sm origin_sm;
enum origin_mode {
    ORIGIN_FOLLOW,
    ORIGIN_ONCE /* imported: after the first fetch the repository is ours alone */
};

/* {"app_id","app","forge": name or null,"forge_id","kind","project","url","mode","state","since",
 * "error": null or {...},"hook": none, asked, made or refused,"hook_text"}; STORE_NONE. */
int origin_row(struct core *core, int64_t app_id, json_t **ret_row, struct err *err) MUST_CHECK;
int origin_list(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;
/* What a person wants followed: {"forge","project","url"}: a URL, or a project of a forge, of which
 * the URL is made. A URL on a forge's host counts as that forge's. *ret_wanted: {"url","forge_id"
 * or null,"forge": name,"project"}. E_URL_SCHEME, E_HOST_INVALID, E_FIELD_INVALID, E_NOT_FOUND. */
int origin_wanted(struct core *core, const json_t *given, json_t **ret_wanted,
                  struct err *err) MUST_CHECK;
int origin_set(struct core *core, const struct person *by, const struct app *app,
               const json_t *wanted, enum origin_mode mode, struct err *err) MUST_CHECK;
/* The repository is ours from now on. Nothing there is touched. */
int origin_remove(struct core *core, const char *actor, const struct app *app, const char *kind,
                  struct err *err) MUST_CHECK;
/* What a fetch came to (error NULL: good): the row follows, and what is news stands in the journal.
 * data: of that, borrowed. */
int origin_apply(struct core *core, const json_t *row, const struct err *error, const json_t *data,
                 struct err *err) MUST_CHECK;
int origin_set_hook(struct core *core, int64_t app_id, const char *state, const char *text,
                    struct err *err) MUST_CHECK;
/* The secret of its webhook. */
int origin_hook_secret(struct core *core, int64_t app_id, struct secret *ret_secret,
                       struct err *err) MUST_CHECK;
/* Within an input: those whose secret went with a lost master key get another one. */
int origin_renew_hooks(struct core *core, struct err *err) MUST_CHECK;
/* E_STATE_CONFLICT when the app's repository lives elsewhere: nobody pushes here. */
int origin_refuse_push(struct core *core, int64_t app_id, struct err *err) MUST_CHECK;

/* A verb of the courier's that changes the app's branches or tags: with "remote" and its secret
 * when they live elsewhere. Takes args, which name the app. As link_call otherwise. */
void origin_ask(struct core *core, int64_t app_id, const char *verb, json_t *args,
                int64_t timeout_ms, forge_reply_fn *on_reply, void *context);
/* Its branches and tags become ours: the verb remote.fetch, with its events. row: an origin_row. */
void origin_fetch(struct core *core, const json_t *row, int64_t timeout_ms,
                  forge_event_fn *on_event, forge_reply_fn *on_reply, void *context);
/* The same for what is not set yet: `wanted` of origin_wanted. */
void origin_ask_wanted(struct core *core, const json_t *wanted, const char *verb, json_t *args,
                       int64_t timeout_ms, forge_reply_fn *on_reply, void *context);
