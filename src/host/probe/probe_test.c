/* The pure parts of the probe. */
#include <string.h>
#include "base/tap.h"
#include "host/probe/probe_priv.h"

static int status(const char *text)
{
    return probe_status(text, strlen(text));
}

TEST(reads_the_status_line_and_nothing_else)
{
    IS_INT(status("HTTP/1.1 200 OK\r\n"), 200);
    IS_INT(status("HTTP/1.0 302 Found\r\n"), 302);
    IS_INT(status("HTTP/1.1 503\r\n"), 503);
    IS_INT(status("HTTP/1.1 20"), 0);
    IS_INT(status(""), 0);
    IS_INT(status("HTTP/2 200 OK\r\n"), -1);
    IS_INT(status("SSH-2.0-OpenSSH"), -1);
    IS_INT(status("HTTP/1.1 2000 OK"), -1);
    IS_INT(status("HTTP/1.1  200 OK"), -1);
    IS_INT(status("HTTP/1.1 2x0 OK"), -1);
}

TEST(a_new_target_is_asked_quickly_then_at_its_pace)
{
    struct probe_state s = {0};
    static const uint32_t want[] = {1, 2, 4, 8, 10, 10};
    for (size_t i = 0; i < 6; i++) {
        probe_next(&s, PROBE_BAD, 10, 1000);
        IS_INT(s.delay_ms, want[i]);
        OK(!s.tell);
    }
    probe_next(&s, PROBE_GOOD, 10, 1000);
    OK(s.tell && s.health == PROBE_READY && s.delay_ms == 1000);
}

TEST(two_failures_make_it_unready_one_success_ready)
{
    struct probe_state s = {.health = PROBE_READY};
    probe_next(&s, PROBE_BAD, 10, 1000);
    OK(!s.tell && s.delay_ms < 1000);
    probe_next(&s, PROBE_GOOD, 10, 1000);
    OK(!s.tell && s.health == PROBE_READY); /* one failure is forgiven */
    probe_next(&s, PROBE_BAD, 10, 1000);
    probe_next(&s, PROBE_BAD, 10, 1000);
    OK(s.tell && s.health == PROBE_UNREADY);
    probe_next(&s, PROBE_BAD, 10, 1000);
    OK(!s.tell);
    probe_next(&s, PROBE_GOOD, 10, 1000);
    OK(s.tell && s.health == PROBE_READY);
}

TEST(one_that_hangs_is_unready_at_once)
{
    struct probe_state s = {.health = PROBE_READY};
    probe_next(&s, PROBE_LATE, 10, 1000);
    OK(s.tell && s.health == PROBE_UNREADY);
    s = (struct probe_state){.health = PROBE_NEW};
    probe_next(&s, PROBE_LATE, 10, 1000);
    OK(!s.tell && s.health == PROBE_NEW);
}

TEST(who_is_slow_may_be_slow)
{
    struct probe_state s = {.health = PROBE_NEW};
    IS_INT(probe_patience(&s, 5000), 5000);
    s.health = PROBE_READY;
    probe_took(&s, 3);
    IS_INT(probe_patience(&s, 5000), 700);
    IS_INT(probe_patience(&s, 300), 300); /* what is configured is the most */
    probe_took(&s, 800);
    IS_INT(probe_patience(&s, 5000), 2400);
    for (int i = 0; i < 40; i++)
        probe_took(&s, 3);
    IS_INT(probe_patience(&s, 5000), 700);
    s.health = PROBE_UNREADY;
    IS_INT(probe_patience(&s, 5000), 5000); /* no hurry any more */
}

TAP_MAIN()
