/* The states of a finding. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/finding/finding.h"

TAP_MAIN()

TEST(the_table_is_sound)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(&finding_sm, &err), 0);
    IS_INT(finding_sm.state_count, FINDING_CLOSED + 1);
    IS_INT(finding_sm.event_count, FINDING_REOPEN + 1);
}

TEST(what_is_open_is_not_opened_again_and_what_is_closed_is_not_fixed)
{
    int to = 0;
    IS_INT(sm_next(&finding_sm, FINDING_OPEN, FINDING_REOPEN, &to), SM_REFUSED);
    IS_INT(sm_next(&finding_sm, FINDING_CLOSED, FINDING_FIX, &to), SM_REFUSED);
    IS_INT(sm_next(&finding_sm, FINDING_CLOSED, FINDING_CLOSE, &to), SM_REFUSED);
}
