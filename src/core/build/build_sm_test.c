/* The states of a build. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/build/build.h"

TAP_MAIN()

TEST(the_table_is_sound)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(&build_sm, &err), 0);
    IS_STR(err.text, "");
    IS_INT(build_sm.state_count, BUILD_STATE_COUNT);
    IS_INT(build_sm.event_count, BUILD_EVENT_COUNT);
    IS_INT(build_sm.initial, BUILD_QUEUED);
}

TEST(ends_are_final_and_a_build_can_be_cancelled_until_then)
{
    for (int state = 0; state < BUILD_STATE_COUNT; state++) {
        int to = -1;
        bool open = state == BUILD_QUEUED || state == BUILD_RUNNING;
        IS_INT(sm_is_final(&build_sm, state) != 0, !open);
        IS_INT(sm_next(&build_sm, state, BUILD_EVENT_CANCEL, &to), open ? 0 : SM_REFUSED);
        IS_INT(to, open ? BUILD_CANCELLED : -1);
    }
}

TEST(what_is_queued_cannot_succeed)
{
    int to = 0;
    IS_INT(sm_next(&build_sm, BUILD_QUEUED, BUILD_EVENT_SUCCEED, &to), SM_REFUSED);
    IS_INT(sm_next(&build_sm, BUILD_RUNNING, BUILD_EVENT_START, &to), SM_REFUSED);
    IS_INT(sm_next(&build_sm, BUILD_RUNNING, BUILD_EVENT_SUCCEED, &to), 0);
    IS_INT(to, BUILD_DONE);
}
