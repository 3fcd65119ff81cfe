/* Inside the folder: the road to a repository outside, for calls of git. Pool threads. */
#pragma once
#include "courier/git/call.h"
#include "courier/git/git.h"
#include "courier/outside.h"

struct road {
    struct outside to;
    char *folder; /* of this road alone: certificates, an ssh key */
};
/* remote, fd: as outside_open. */
int road_open(const struct git_ask *ask, const json_t *remote, struct road *ret_road,
              struct err *err) MUST_CHECK;
void road_done(struct road *r);
static inline void road_donep(struct road *r)
{
    road_done(r);
}
#define AUTO_ROAD __attribute__((cleanup(road_donep))) struct road
/* All that a call needs to go there; before git_verb. The road outlives the call. */
void road_take(const struct road *r, struct git_call *call);
/* git failed there, and its own words say little: what a request by ourselves finds, or `said`. -1.
 */
int road_explain(const struct road *r, const char *said, struct err *err);

/* ssh.c: git starts this program under that name, with its folder before it, for ssh. */
#define ROAD_SSH "slipway-ssh"
