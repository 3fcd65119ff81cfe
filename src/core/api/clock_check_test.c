#include "core/api/clock_check.h"
#include <string.h>
#include "base/tap.h"

#define NOW 1795000000000
static char text[CLOCK_TEXT];

static bool judged(struct clock_facts f)
{
    f.wall_ms = f.wall_ms ? f.wall_ms : NOW;
    return clock_judge(&f, text);
}

TEST(a_clock_that_goes_with_the_machine_is_right)
{
    OK(judged((struct clock_facts){.last_row_ms = NOW, .is_synchronised = true}));
    OK(strstr(text, "is synchronised") != NULL);
    OK(judged((struct clock_facts){.last_row_ms = NOW + 30000, .jumped_ms = 30000}));
    OK(strstr(text, "nothing synchronises it") != NULL);
}

TEST(a_clock_behind_is_seen_by_what_was_written_before)
{
    OK(!judged((struct clock_facts){.last_row_ms = NOW + 3600000, .is_synchronised = true}));
    OK(strstr(text, "journal") != NULL);
    OK(!judged((struct clock_facts){.program_ms = NOW + 3600000}));
    OK(strstr(text, "program") != NULL);
    OK(!judged((struct clock_facts){.wall_ms = 1000}));
    OK(strstr(text, "1970-01-01T00:00") != NULL);
}

TEST(a_clock_that_was_set_is_seen_by_its_jump)
{
    OK(!judged((struct clock_facts){.jumped_ms = 7200000}));
    OK(strstr(text, "set ahead by 7200 s") != NULL);
    OK(!judged((struct clock_facts){.jumped_ms = -7200000}));
    OK(strstr(text, "set back by 7200 s") != NULL);
    OK(judged((struct clock_facts){.jumped_ms = 7200000, .is_synchronised = true})); /* NTP did */
}

TEST(the_machine_is_asked)
{
    struct clock_facts f;
    clock_check_start(clock_system());
    clock_check_look(clock_system(), &f);
    OK(f.wall_ms > 0 && f.program_ms > 0);
    OK(f.jumped_ms > -1000 && f.jumped_ms < 1000);
}

TAP_MAIN()
