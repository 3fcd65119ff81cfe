/* How far a fetch is, from what git says of it on standard error. Written by the pool thread that
 * waits for git, read by the loop. */
#pragma once
#include <stdatomic.h>
#include "base/str.h"

enum git_stage {
    GIT_STAGE_NONE,
    GIT_STAGE_COUNTING,    /* there */
    GIT_STAGE_COMPRESSING, /* there */
    GIT_STAGE_RECEIVING,
    GIT_STAGE_RESOLVING /* here: of what came, whole objects are made and looked at */
};
struct git_progress {
    _Atomic int now; /* stage * 1000 + percent, in one, so that they belong together */
};
/* said: the end of what git has said so far, in which the newest whole word counts. */
void git_progress_take(struct git_progress *p, struct str said);
/* "receiving"; NULL: nothing is known. */
const char *git_progress_stage(const struct git_progress *p, int *ret_percent);
