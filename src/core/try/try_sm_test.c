/* The states of a try. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/try/try.h"

TAP_MAIN()

TEST(the_table_is_sound)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(&try_sm, &err), 0);
    IS_INT(try_sm.state_count, TRY_ENDED + 1);
    IS_INT(try_sm.event_count, TRY_GONE + 1);
}

TEST(an_end_is_final)
{
    int to = 0;
    IS_INT(sm_next(&try_sm, TRY_ENDING, TRY_END, &to), SM_REFUSED);
    IS_INT(sm_next(&try_sm, TRY_ENDED, TRY_GONE, &to), SM_REFUSED);
    OK(sm_is_final(&try_sm, TRY_ENDED));
}
