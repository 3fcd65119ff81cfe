/* The states of a landing. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/land/land.h"

TAP_MAIN()

TEST(the_table_is_sound)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(&landing_sm, &err), 0);
    IS_INT(landing_sm.state_count, LANDING_FAILED + 1);
    IS_INT(landing_sm.event_count, LANDING_FAIL + 1);
}

TEST(an_end_is_final)
{
    int to = 0;
    IS_INT(sm_next(&landing_sm, LANDING_DONE, LANDING_FAIL, &to), SM_REFUSED);
    IS_INT(sm_next(&landing_sm, LANDING_FAILED, LANDING_SUCCEED, &to), SM_REFUSED);
    IS_INT(sm_next(&landing_sm, LANDING_ASKED, LANDING_ASK, &to), SM_REFUSED);
    OK(sm_is_final(&landing_sm, LANDING_DONE) && sm_is_final(&landing_sm, LANDING_FAILED));
}
