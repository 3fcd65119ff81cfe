/* Findings (缺陷): what somebody who tries a release in an env finds wrong with it, and its way to
 * the end: filed -> fixed by a branch -> that branch's new commits are released there -> tried
 * again, in the next round -> closed, or open again. Open ones may keep the app out of the envs
 * behind. Loop thread; writes only within an input. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char finding_schema[];         /* finding, finding_note; a column of env */
extern const char finding_picture_schema[]; /* finding_picture; a column of finding_note */
#define FINDING_TITLE_MAX 200
#define FINDING_TEXT_MAX 8000

enum finding_state { FINDING_OPEN, FINDING_FIXED, FINDING_CLOSED };
enum finding_event { FINDING_FIX, FINDING_CLOSE, FINDING_REOPEN };
extern const struct sm finding_sm;

/* Rows: {"number" (of the app),"env","release" (that it was found in),"title","severity": "low",
 * "medium", "high" or "critical","state","waits": what for, or null: "fix", "release" (its commits
 * are not released there yet) or "retest","round","branch" or null,"by","at","changed_at"}; one of
 * them has "notes": [{"kind","text","link": a page of the console, or null,"release","round","by",
 * "at"}], the first of which is what was filed, and "pictures": [{"id","type","bytes","by","at"}].
 */
struct finding_filter { /* NULL or "": any */
    const char *state, *env, *branch, *person;
    int64_t before; /* a number; 0: from the newest */
    int64_t limit;
};
/* app_id 0: of all apps, each row with "app"; then nothing is before. */
int finding_list(struct core *core, int64_t app_id, const struct finding_filter *filter,
                 json_t **ret_rows, struct err *err) MUST_CHECK;
int finding_row(struct core *core, int64_t app_id, int64_t number, json_t **ret_row,
                struct err *err) MUST_CHECK;

/* filed: {"title","text","link","severity","branch"} (all but title optional). Against what is live
 * there: E_STATE_CONFLICT when nothing is; E_BRANCH_UNKNOWN when the branch is not in it. */
int finding_file(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *filed, int64_t *ret_number, struct err *err) MUST_CHECK;
/* act: {"act": "fix", "close", "reopen", "note" or "assign", "text","link","branch","severity"};
 * tip: of the branch now (fix), or NULL. E_STATE_CONFLICT, E_FIELD_INVALID. */
int finding_act(struct core *core, const struct person *by, const struct app *app, int64_t number,
                const json_t *act, const char *tip, struct err *err) MUST_CHECK;
/* May these branches ([{"branch"}]; with trunk they are all that there is) go into this env?
 * E_POLICY_DENIED names a finding of an env before it that is not closed, of a severity that the
 * env does not let in: of a branch among them, or of none in particular. */
int finding_gate(struct core *core, const struct app_env *ae, const json_t *branches,
                 struct err *err) MUST_CHECK;

/* Pictures: PNG, JPEG, WebP (E_MEDIA_TYPE otherwise), a few of each finding. */
#define FINDING_PICTURE_MAX (4u << 20)
int finding_picture_add(struct core *core, const struct person *by, int64_t app_id, int64_t number,
                        struct str picture, int64_t *ret_id, struct err *err) MUST_CHECK;
/* finding_id: of the row itself. */
int finding_pictures(struct core *core, int64_t finding_id, json_t **ret_rows,
                     struct err *err) MUST_CHECK;
/* take gets it, for the time of the call. */
int finding_picture_get(struct core *core, int64_t app_id, int64_t number, int64_t id,
                        void (*take)(void *context, const char *type, struct str picture),
                        void *context, struct err *err) MUST_CHECK;
