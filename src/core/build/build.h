/* Builds: one isolated run of an app's build for one app-env; every click builds anew. The row is
 * the truth; host does the work and can be asked again at any moment (same build, same answer).
 * Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char build_schema[];
extern const char build_commit_schema[];      /* an index by commit */
extern const char build_integrate_schema[];   /* how its integration went */
extern const char build_resolutions_schema[]; /* which resolutions were in it */
extern const char build_ended_schema[];       /* an index by end */

enum build_state {
    BUILD_QUEUED,
    BUILD_RUNNING,
    BUILD_DONE,
    BUILD_FAILED,
    BUILD_CANCELLED,
    BUILD_STATE_COUNT
};
enum build_event {
    BUILD_EVENT_START,
    BUILD_EVENT_SUCCEED,
    BUILD_EVENT_FAIL,
    BUILD_EVENT_CANCEL,
    BUILD_EVENT_COUNT
};
extern const struct sm build_sm;

struct build {
    int64_t id;
    int64_t app_env_id;
    int64_t number;
    int state;
    char commit[41];
    char artifact[80];
};
/* Within an input: a new build of this source (from source_resolve; with "culprits_of": the number
 * of a build, it is one of the search for its culprits). Its action starts once
 * durable. */
int build_create(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *source, struct build *ret_build, struct err *err) MUST_CHECK;
int build_load(struct core *core, int64_t id, struct build *ret, struct err *err) MUST_CHECK;
int build_find(struct core *core, int64_t app_env_id, int64_t number, struct build *ret,
               struct err *err) MUST_CHECK;
/* What was used for the integration of this commit: [{"branch","tip","sides"}]; [] when nothing was
 * or nobody knows. */
int build_resolutions(struct core *core, const char *commit, json_t **ret_used,
                      struct err *err) MUST_CHECK;
/* Rows for people; the newest first. build_row has "steps" too: what it did, or does now, one after
 * the other (STEP of host's build.run); those of a list have them in their result. */
int build_row(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
int build_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
               json_t **ret_rows, struct err *err) MUST_CHECK;
/* Cancel: within an input. The sandbox is killed once durable. Refused (E_STATE_CONFLICT) when it
 * ended. */
int build_cancel(struct core *core, const struct person *by, const struct build *b,
                 struct err *err) MUST_CHECK;
/* The wire's name: "shop.dev.b17". Heap. */
char *build_wire_name(const struct app_env *ae, int64_t number);
/* Act again on every build that has not ended: after our start, and when host or courier came back.
 */
void build_resume(struct core *core);
/* Told within the input in which a build ended (release follows its rollouts). One listener. */
void build_on_end(int (*fn)(struct core *core, const struct build *b, struct err *err));
