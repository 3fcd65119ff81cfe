/* Culprits: the set merges, but its build or its checks fail. The smallest set of branches that
 * makes it fail is found by building others of its branches, at the same commits and on the same
 * trunk: halves of them, until one branch after the other is known to be needed. What was built
 * before is not built again. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/build/build.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char culprit_schema[];       /* culprit: one search */
extern const char culprit_build_schema[]; /* an index by build */

enum culprit_state { CULPRIT_RUNNING, CULPRIT_FOUND, CULPRIT_FAILED, CULPRIT_CANCELLED };
enum culprit_event { CULPRIT_FIND, CULPRIT_FAIL, CULPRIT_CANCEL };
extern const struct sm culprit_sm;

/* Within an input: begin to search for what makes this build fail; it acts once durable.
 * E_STATE_CONFLICT: it did not fail by its steps or checks, or is searched already. */
int culprit_create(struct core *core, const struct person *by, const struct app_env *ae,
                   const struct build *b, int64_t *ret_id, struct err *err) MUST_CHECK;
int culprit_cancel(struct core *core, const struct person *by, int64_t id,
                   struct err *err) MUST_CHECK;
/* The latest search of a build: {"id","build","state","tried": [{"branches":
 * [names],"commit","build": number or null,"failed": bool or null (not known yet),"text": why not
 * built, or null}],"culprits": [names] (none: trunk alone fails) or
 * null,"by","at","ended_at","error"}; E_NOT_FOUND. */
int culprit_row(struct core *core, int64_t app_env_id, int64_t build, json_t **ret_row,
                struct err *err) MUST_CHECK;
struct culprits;
struct culprits *culprits_new(struct core *core); /* follows the ends of builds */
void culprits_free(struct culprits *c);           /* after the links; NULL is fine */
void culprits_resume(struct core *core);          /* act again on those that have not ended */
