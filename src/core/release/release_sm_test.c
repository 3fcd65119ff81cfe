/* The states of rollouts, steps and instances. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/release/release.h"

TAP_MAIN()

static void sound(const struct sm *sm)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(sm, &err), 0);
    IS_STR(err.text, "");
}

TEST(the_tables_are_sound)
{
    sound(&rollout_sm);
    sound(&step_sm);
    sound(&instance_sm);
    IS_INT(rollout_sm.state_count, ROLLOUT_CANCELLED + 1);
    IS_INT(rollout_sm.event_count, ROLLOUT_END_CANCELLED + 1);
    IS_INT(step_sm.state_count, STEP_SKIPPED + 1);
    IS_INT(step_sm.event_count, STEP_SKIP + 1);
    IS_INT(instance_sm.state_count, INSTANCE_STOPPING + 1);
    IS_INT(instance_sm.event_count, INSTANCE_STOP + 1);
}

static void finals(const struct sm *sm, unsigned mask)
{
    for (int state = 0; state < (int)sm->state_count; state++)
        IS_INT(sm_is_final(sm, state) != 0, (mask >> state) & 1);
}

TEST(ends_are_final)
{
    finals(&rollout_sm, 1u << ROLLOUT_DONE | 1u << ROLLOUT_REVERTED | 1u << ROLLOUT_FAILED |
                            1u << ROLLOUT_CANCELLED);
    finals(&step_sm, 1u << STEP_DONE | 1u << STEP_FAILED | 1u << STEP_SKIPPED);
    finals(&instance_sm, 1u << INSTANCE_STOPPING);
}

/* What may get requests is never stopped without having been drained. */
TEST(what_serves_is_drained_before_it_stops)
{
    int to = 0;
    IS_INT(sm_next(&instance_sm, INSTANCE_SERVING, INSTANCE_STOP, &to), SM_REFUSED);
    IS_INT(sm_next(&instance_sm, INSTANCE_STARTING, INSTANCE_ROUTE, &to), SM_REFUSED);
    IS_INT(sm_next(&instance_sm, INSTANCE_STOPPING, INSTANCE_ROUTE, &to), SM_REFUSED);
    IS_INT(sm_next(&instance_sm, INSTANCE_WARM, INSTANCE_ROUTE, &to), 0);
    IS_INT(to, INSTANCE_SERVING);
}

TEST(a_way_back_does_not_turn_round)
{
    int to = 0;
    IS_INT(sm_next(&rollout_sm, ROLLOUT_REVERTING, ROLLOUT_REVERT, &to), SM_REFUSED);
    IS_INT(sm_next(&rollout_sm, ROLLOUT_REVERTING, ROLLOUT_FINISH, &to), SM_REFUSED);
}
