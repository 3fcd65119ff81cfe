/* Tries: a throw-away environment of one branch or any set, for one app.
 *
 * It is like an env (its configuration, secrets as they are at that moment, policy and rights) but
 * for one instance, has its own domain APP.try-N.BASE, follows pushes to its branches, and ends by
 * itself: what runs is stopped, then its app-env is gone. Releases go in as in any env. Loop
 * thread.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char try_schema[]; /* trial */
#define TRY_HOURS 24            /* when nobody says otherwise */
#define TRY_HOURS_MAX (14 * 24)
#define TRIES_OF_APP 5 /* at once */
#define TRIES_MAX 20   /* of the installation, at once */
#define TRY_TEXT_MAX 200

enum try_state { TRY_OPEN, TRY_ENDING, TRY_ENDED };
enum try_event { TRY_END, TRY_GONE };
extern const struct sm try_sm;

/* Within an input. like: an env's name; branches: names, ticked in it; hours: from now; text: what
 * it is for, may be NULL. E_TOO_MANY, E_NOT_FOUND, and what ticks_change refuses. */
struct try_wanted {
    const char *like;
    const json_t *branches;
    int64_t hours;
    const char *text;
};
int try_create(struct core *core, const struct person *by, const struct app *app,
               const struct try_wanted *wanted, json_t **ret_row, struct err *err) MUST_CHECK;
/* {"name","app","like","text","state","by","at","expires_at","ended_at","why": expired, or a
 * person's name, or null}. E_NOT_FOUND. */
int try_row(struct core *core, int64_t app_id, const char *name, json_t **ret_row,
            struct err *err) MUST_CHECK;
/* Those that have not ended, of an app (0: of all), the newest first. */
int try_list(struct core *core, int64_t app_id, json_t **ret_rows, struct err *err) MUST_CHECK;
/* Within an input. E_STATE_CONFLICT when it ends already. */
int try_end(struct core *core, const struct person *by, const struct app *app, const char *name,
            struct err *err) MUST_CHECK;
int try_extend(struct core *core, const struct person *by, const struct app *app, const char *name,
               int64_t hours, struct err *err) MUST_CHECK;

struct tries;
struct tries *tries_new(struct core *core);
void tries_free(struct tries *t);   /* after the links; NULL is fine */
void tries_resume(struct tries *t); /* host is there: go on with those that end */
