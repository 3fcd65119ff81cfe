/* Inside culprit: which set to try next, and the rows. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "core/culprit/culprit.h"

/* A set of branches, by their places in the build's list. */
struct culprit_set {
    size_t members[TICKS_MAX]; /* ascending */
    size_t count;
};
/* What is known of a set: whether it fails. */
enum culprit_known { CULPRIT_UNKNOWN, CULPRIT_GOOD, CULPRIT_BAD };
typedef enum culprit_known culprit_known_fn(void *context, const struct culprit_set *set);
/* Of `count` branches that fail together: true: *ret_set is the smallest set found, of which each
 * member is needed (none: trunk alone fails). False: *ret_set is to be tried next, then ask again.
 * About (culprits) * (log2(count) + 1) sets are tried. */
bool culprit_search(size_t count, culprit_known_fn *known, void *context,
                    struct culprit_set *ret_set);

/* Rows. pins: {branch: tip}, with trunk's; names: of the branches, in their order. */
int culprit_insert(struct core *core, const struct person *by, const struct build *b,
                   const json_t *pins, const json_t *names, int64_t *ret_id,
                   struct err *err) MUST_CHECK;
/* {"id","app_env_id","build","state","pins","names","tried","by","actor"} */
int culprit_load(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
int culprit_set_tried(struct core *core, int64_t id, const json_t *tried,
                      struct err *err) MUST_CHECK;
int culprit_set_ended(struct core *core, int64_t id, int state, const json_t *culprits,
                      const json_t *error, struct err *err) MUST_CHECK;
/* The latest build of this commit that came to an end of its own: {"number","state","error"};
 * STORE_NONE. */
int culprit_known_build(struct core *core, int64_t app_env_id, const char *commit, json_t **ret_row,
                        struct err *err) MUST_CHECK;
