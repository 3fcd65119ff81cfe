/* Inside the folder: resolutions, which are branches in which people have merged branches that
 * conflict. Which of them can be used depends on commits alone. Pool threads. */
#pragma once
#include "courier/git/chain.h"

/* list: as in wire/courier.h, "resolutions". */
struct resolutions_ask {
    struct merger *merger;
    struct map *cache; /* ancestry and markers are remembered; may be NULL */
    const json_t *list;
    const char *base; /* trunk's tip */
};
/* Those that can be used with these ticks are put before them, in their order. *ret_states: what
 * becomes of each: [{"branch","tip","sides": [names],"state","side": name or null,"text"}], to be
 * freed; states: wire/courier.h. */
int resolutions_put(const struct resolutions_ask *ask, struct tick ticks[STEPS_MAX], size_t *count,
                    json_t **ret_states, struct err *err) MUST_CHECK;
/* Is the work done, whatever its sides do? *ret_text: what is missing (heap), or NULL.
 * E_BRANCH_UNKNOWN: its branch is gone. */
int resolution_work(const struct resolutions_ask *ask, const json_t *row, char **ret_text,
                    struct err *err) MUST_CHECK;
/* It was not merged after all. why: {"why","against"} (explain). */
void resolution_conflicts(json_t *states, const char *branch, const json_t *why);
/* Does one that is used merge this branch? */
bool resolution_used(const json_t *states, const char *branch);
/* The one that is used for these two, or NULL. Borrowed. */
const char *resolution_of_pair(const json_t *states, const char *a, const char *b);
