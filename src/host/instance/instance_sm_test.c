/* The states of an instance and the pace of its restarts. */
#include "base/tap.h"
#include "host/instance/instance_priv.h"

TEST(table_is_whole)
{
    struct err err = ERR_INIT;
    OK(sm_check(&host_instance_sm, &err) == 0);
    OK(sm_is_final(&host_instance_sm, INSTANCE_GONE));
}

TEST(every_state_but_the_last_can_be_stopped)
{
    int to;
    for (int state = 0; state < INSTANCE_STOPPING; state++)
        OK(sm_next(&host_instance_sm, state, INSTANCE_STOP, &to) == 0 && to == INSTANCE_STOPPING);
    OK(sm_next(&host_instance_sm, INSTANCE_STOPPING, INSTANCE_STOP, &to) == SM_REFUSED);
    OK(sm_next(&host_instance_sm, INSTANCE_STOPPING, INSTANCE_PROBED_READY, &to) == SM_REFUSED);
}

TEST(delays_double_up_to_a_ceiling)
{
    struct restart r = {0};
    bool loop;
    int64_t now = 1000;
    static const int64_t want[] = {100,  200,   400,   800,   1600, 3200,
                                   6400, 12800, 25600, 30000, 30000};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        now += 50000; /* too slow for a loop */
        IS_INT(restart_after(&r, now, 49000, &loop), want[i]);
        OK(!loop);
    }
}

TEST(a_minute_of_life_resets_the_delay)
{
    struct restart r = {0};
    bool loop;
    (void)restart_after(&r, 0, 10, &loop);
    IS_INT(restart_after(&r, 100, 10, &loop), 200);
    IS_INT(restart_after(&r, 70000, 60000, &loop), 100);
}

TEST(five_ends_within_a_minute_are_a_loop)
{
    struct restart r = {0};
    bool loop;
    for (int i = 0; i < 4; i++) {
        (void)restart_after(&r, i * 1000, 10, &loop);
        OK(!loop);
    }
    IS_INT(restart_after(&r, 5000, 10, &loop), 30000);
    OK(loop);
    (void)restart_after(&r, 5000 + 61000, 10, &loop); /* the four before are long ago */
    OK(!loop);
}

TAP_MAIN()
