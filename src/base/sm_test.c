/* State tables: lookups, and that sm_check finds each kind of mistake. */
#include "base/sm.h"
#include <string.h>
#include "base/mem.h"
#include "base/tap.h"

enum { OFF, ON, GONE };
enum { START, STOP, DROP };
static const char *const states[] = {"off", "on", "gone"};
static const char *const events[] = {"start", "stop", "drop"};
static const struct sm_row rows[] = {{OFF, START, ON}, {ON, STOP, OFF}, {OFF, DROP, GONE}};

static struct sm lamp(void)
{
    return (struct sm){.name = "lamp",
                       .state_names = states,
                       .state_count = ARRAY_SIZE(states),
                       .event_names = events,
                       .event_count = ARRAY_SIZE(events),
                       .rows = rows,
                       .row_count = ARRAY_SIZE(rows),
                       .initial = OFF};
}

TEST(follows_the_table)
{
    struct sm sm = lamp();
    int to = -1;
    IS_INT(sm_next(&sm, OFF, START, &to), 0);
    IS_INT(to, ON);
    IS_INT(sm_next(&sm, ON, DROP, &to), SM_REFUSED);
    IS_INT(to, ON);
    OK(sm_is_final(&sm, GONE) && !sm_is_final(&sm, ON));
}

TEST(says_what_is_refused)
{
    struct sm sm = lamp();
    struct err err = ERR_INIT;
    int to = -1;
    IS_INT(sm_next_checked(&sm, ON, STOP, &to, &err), 0);
    IS_INT(sm_next_checked(&sm, GONE, START, &to, &err), -1);
    IS_INT(err.kind, E_STATE_CONFLICT);
    IS_STR(err.text, "lamp is 'gone': cannot 'start'");
}

TEST(knows_names)
{
    struct sm sm = lamp();
    struct err err = ERR_INIT;
    int state = -1;
    IS_STR(sm_state_name(&sm, ON), "on");
    IS_STR(sm_state_name(&sm, 99), "?");
    IS_INT(sm_state_from_name(&sm, "gone", &state, &err), 0);
    IS_INT(state, GONE);
    IS_INT(sm_state_from_name(&sm, "dim", &state, &err), -1);
    IS_INT(err.kind, E_CORRUPT);
    IS_STR(err.text, "lamp has no state 'dim'");
}

TEST(checks_a_good_table)
{
    struct sm sm = lamp();
    struct err err = ERR_INIT;
    IS_INT(sm_check(&sm, &err), 0);
}

/* Expects sm_check to fail with this text. */
static void refused(const struct sm *sm, const char *text)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(sm, &err), -1);
    IS_STR(err.text, text);
}

TEST(finds_bad_names)
{
    static const char *const hole[] = {"off", NULL, "gone"};
    static const char *const twice[] = {"start", "stop", "start"};
    struct sm sm = lamp();
    sm.state_names = hole;
    refused(&sm, "lamp: states 1 has no name");
    sm = lamp();
    sm.event_names = twice;
    refused(&sm, "lamp: two of events are called 'start'");
    sm = lamp();
    sm.name = NULL;
    refused(&sm, "a state machine has no name");
    sm = lamp();
    sm.initial = 3;
    refused(&sm, "lamp: the initial state does not exist");
}

TEST(finds_bad_rows)
{
    static const struct sm_row twice[] = {{OFF, START, ON}, {OFF, START, GONE}};
    static const struct sm_row outside[] = {{OFF, START, 3}};
    static const struct sm_row island[] = {{OFF, START, ON}, {GONE, STOP, OFF}};
    struct sm sm = lamp();
    sm.rows = twice;
    sm.row_count = ARRAY_SIZE(twice);
    refused(&sm, "lamp: 'start' is listed twice in 'off'");
    sm.rows = outside;
    sm.row_count = ARRAY_SIZE(outside);
    refused(&sm, "lamp: row 0 names what does not exist");
    sm.rows = island;
    sm.row_count = ARRAY_SIZE(island);
    refused(&sm, "lamp: nothing leads to 'gone'");
}

TEST(draws_itself)
{
    struct sm sm = lamp();
    AUTO_BUF out = BUF_INIT(0);
    IS_INT(sm_dot(&sm, &out), 0);
    OK(strstr(out.data, "digraph lamp {"));
    OK(strstr(out.data, "\"off\" -> \"on\" [label=\"start\"];"));
    OK(strstr(out.data, "\"gone\" [peripheries=2];"));
    AUTO_BUF small = BUF_INIT(20);
    IS_INT(sm_dot(&sm, &small), -1);
}

TAP_MAIN()
