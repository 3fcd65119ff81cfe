/* After a reboot: what the records want and nothing runs is started again, a few at a time.
 *
 * All at once, on a machine that is small for its apps, all are ready late, at the same moment, and
 * until then nobody serves. So there are as many on their way as there are processors (two at
 * least). First comes one of each app-env, so that each app answers soon, where most are recorded
 * before the others (most requests go there); what was never ready comes last: nobody had requests
 * from it. The next one begins when one is ready or has ended, or waits for something else than a
 * processor (or has taken a minute). Whoever asks for one that waits its turn gets it now. */
#include <unistd.h>
#include "base/log.h"
#include "host/instance/instance_priv.h"

#define AT_ONCE_LEAST 2
#define LOOK_MS 10000
#define LOOKS_MOST 6
#define BUSY_PERCENT 20 /* of a processor, since the last look */

static size_t at_once(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > AT_ONCE_LEAST ? (size_t)processors : AT_ONCE_LEAST;
}

struct rank {
    bool never_ready;
    size_t begun; /* of its app-env, of those that people had answers from */
    size_t all;
};

static struct rank rank_of(const struct instance *i)
{
    struct rank rank = {.never_ready = !i->ever_ready};
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *other = instances.by_name.entries[n].value;
        bool same = other->app_env_id == i->app_env_id;
        rank.all += same;
        rank.begun += same && other->ever_ready && other->comeback != COMEBACK_WAITS;
    }
    return rank;
}

static bool is_before(const struct rank *a, const struct rank *b)
{
    if (a->never_ready != b->never_ready)
        return b->never_ready;
    if (a->begun != b->begun)
        return a->begun < b->begun;
    return a->all > b->all;
}

static struct instance *first_waiting(size_t *ret_under_way)
{
    struct instance *first = NULL;
    struct rank best = {0};
    *ret_under_way = 0;
    for (size_t n = 0; n < instances.by_name.count; n++) {
        struct instance *i = instances.by_name.entries[n].value;
        *ret_under_way += i->comeback == COMEBACK_UNDER_WAY;
        if (i->comeback != COMEBACK_WAITS)
            continue;
        struct rank rank = rank_of(i);
        if (first && !is_before(&rank, &best))
            continue;
        first = i;
        best = rank;
    }
    return first;
}

void comeback_begin(void)
{
    size_t under_way;
    for (;;) {
        struct instance *i = first_waiting(&under_way);
        if (!i || under_way >= at_once())
            return;
        comeback_now(i);
    }
}

static bool is_busy(struct instance *i)
{
    struct sandbox_usage usage;
    sandbox_usage(i->cgroup, &usage);
    int64_t used = usage.cpu_us - i->comeback_cpu_us;
    i->comeback_cpu_us = usage.cpu_us;
    return used * 100 >= BUSY_PERCENT * LOOK_MS * 1000;
}

static void look(void *context)
{
    struct instance *i = context;
    if (is_busy(i) && ++i->comeback_looks < LOOKS_MOST) {
        timer_start(&i->comeback_timer, LOOK_MS, 0, look, i);
        return;
    }
    i->comeback = COMEBACK_NONE;
    comeback_begin();
}

void comeback_add(struct instance *i)
{
    log_info("instance is not running, it comes back", F_STR("instance", i->name));
    i->comeback = COMEBACK_WAITS;
}

void comeback_now(struct instance *i)
{
    if (i->comeback != COMEBACK_WAITS)
        return;
    i->comeback = COMEBACK_UNDER_WAY;
    i->comeback_looks = 0;
    i->comeback_cpu_us = 0; /* its group is new */
    timer_start(&i->comeback_timer, LOOK_MS, 0, look, i);
    run_recreate(i);
}

void comeback_settled(struct instance *i)
{
    if (i->comeback == COMEBACK_NONE)
        return;
    i->comeback = COMEBACK_NONE;
    timer_free(&i->comeback_timer);
    comeback_begin();
}
