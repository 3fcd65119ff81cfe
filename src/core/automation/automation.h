/* Releases that nobody clicks: an app-env may be released when somebody pushes to what is ticked
 * there (or to trunk), or once a day at a time; or by click alone, as every one begins.
 *
 * What is built is the newest integration when its turn comes, unless the newest build there is of
 * it already (it is live, or people have stopped it), or it failed or was marked bad before: that
 * is left to people, and the journal says so. A push that core has missed (it was away, or the
 * courier was) is found when both are there again. A release that automation began gives way to a
 * newer integration for as long as it builds; it never breaks into somebody's. Loop thread. */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char automation_schema[]; /* a column of app_env */

struct automation;
struct automation *automation_new(struct core *core);
void automation_free(struct automation *a);   /* after the links; NULL is fine */
void automation_resume(struct automation *a); /* the courier is back: was anything missed? */

/* "click", "push" or "HH:MM" (of the server's clock). E_FIELD_INVALID. Within an input. */
int automation_set(struct automation *a, const struct person *by, const struct app_env *ae,
                   const char *when, struct err *err) MUST_CHECK;
/* Into `text`, of 8 bytes. */
int automation_get(struct core *core, int64_t app_env_id, char text[8], struct err *err) MUST_CHECK;
