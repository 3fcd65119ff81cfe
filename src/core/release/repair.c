/* Starting again what host has lost (its disk was replaced, a backup was restored): a few at a
 * time.
 *
 * A start has a deadline, and starts share the machine's processors: asked for all at once, on a
 * host that is small for its apps, each of them misses its deadline, is killed and asked for again,
 * and nothing ever runs. So there are as many starts under way as the host has processors (two at
 * least), the next one begins when one is ready or has failed, and one that failed waits, each time
 * twice as long. Loop thread. */
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/link/link.h"
#include "core/release/release_priv.h"
#include "io/loop.h"

#define AT_ONCE_LEAST 2
#define WAIT_FIRST_MS 10000
#define WAIT_MOST_MS 300000

struct repair {
    struct core *core;
    char name[129];
    size_t rank;     /* the smaller, the sooner */
    bool gone;       /* by the latest comparison */
    bool running;    /* asked of host: freed by its answer */
    int64_t due_ms;  /* mono: not before */
    int64_t wait_ms; /* after the next failure */
};
static struct map repairs; /* name -> struct repair, owned */
static struct timer *due_timer;

static void begin_due(struct core *core);

static void forget(struct repair *r)
{
    (void)map_remove(&repairs, r->name);
    free(r);
}

/* Those that are under way are freed by their answers. */
static void forget_all(bool but_gone)
{
    for (size_t i = repairs.count; i-- > 0;) {
        struct repair *r = repairs.entries[i].value;
        if (!r->running && !(but_gone && r->gone))
            forget(r);
    }
}

void repair_reset(void)
{
    forget_all(false);
}

void repair_done(void)
{
    forget_all(false);
    timer_free(&due_timer);
    if (repairs.count == 0)
        map_done(&repairs);
}

/* ---- one ---- */

static void failed(struct repair *r, const struct err *error)
{
    struct core *core = r->core;
    log_error("an instance that should run does not, trying again", F_STR("instance", r->name),
              F_INT("in_ms", r->wait_ms), F_ERR(error));
    r->running = false;
    r->due_ms = clock_mono_ms(core->clock) + r->wait_ms;
    r->wait_ms = r->wait_ms * 2 < WAIT_MOST_MS ? r->wait_ms * 2 : WAIT_MOST_MS;
    begin_due(core);
}

/* A host that went away is compared with when it is back: what is still gone comes again. */
static bool host_went(struct repair *r, const struct err *error)
{
    if (!error || error->kind != E_ROLE_DOWN)
        return false;
    forget(r);
    return true;
}

/* Whether it should still run: 0, INSTANCE_NONE or -1. All that may have taken long. */
static int load_wanted(const struct repair *r, struct instance *ret, struct err *err)
{
    int found = instance_load(r->core, r->name, ret, err);
    bool wanted = found == 0 && (ret->state == INSTANCE_SERVING ||
                                 ret->state == INSTANCE_DRAINING || ret->state == INSTANCE_WARM);
    return found == 0 && !wanted ? INSTANCE_NONE : found;
}

static void on_started(void *context, json_t *ok, const struct err *error)
{
    struct repair *r = context;
    struct core *core = r->core;
    struct err err = ERR_INIT;
    struct instance i;
    if (host_went(r, error))
        return;
    if (error) {
        failed(r, error);
        return;
    }
    if (load_wanted(r, &i, &err) == 0)
        instance_is_at(core, &i, ok);
    forget(r);
    begin_due(core);
}

static void start(void *context, json_t *ok, const struct err *error)
{
    struct repair *r = context;
    struct core *core = r->core;
    struct err err = ERR_INIT;
    struct instance i;
    struct app_env ae;
    AUTO_JSON *release = NULL;
    (void)ok;
    if (host_went(r, error))
        return;
    int found = error ? -1 : load_wanted(r, &i, &err);
    if (found == INSTANCE_NONE) {
        forget(r);
        begin_due(core);
    } else if (found < 0 || app_env_load(core, i.app_env_id, &ae, &err) < 0 ||
               release_get(core, i.app_env_id, i.release, &release, &err) < 0) {
        failed(r, error ? error : &err);
    } else {
        instance_start_request(core, &ae, &i, release, on_started, r);
    }
}

/* What its release is made of may be gone too (unpacked), or may never have been there (a restored
 * backup has blobs only). */
static void begin(struct repair *r)
{
    struct err err = ERR_INIT;
    struct instance i;
    AUTO_JSON *release = NULL;
    r->running = true;
    int found = load_wanted(r, &i, &err);
    if (found == INSTANCE_NONE) {
        forget(r);
    } else if (found < 0 || release_get(r->core, i.app_env_id, i.release, &release, &err) < 0) {
        failed(r, &err);
    } else {
        log_warn("an instance is gone from the host, starting it again",
                 F_STR("instance", r->name));
        prepare_request(r->core, release, start, r);
    }
}

/* ---- all of them ---- */

static size_t at_once(const struct core *core)
{
    int64_t processors = json_int(link_hello(core->host), "processors", 0);
    return processors > AT_ONCE_LEAST ? (size_t)processors : AT_ONCE_LEAST;
}

/* The next to begin; when there is none that is due, *ret_due_ms says when there will be (0:
 * never).
 */
static struct repair *next_due(int64_t now_ms, int64_t *ret_due_ms)
{
    struct repair *best = NULL;
    *ret_due_ms = 0;
    for (size_t i = 0; i < repairs.count; i++) {
        struct repair *r = repairs.entries[i].value;
        if (r->running)
            continue;
        if (r->due_ms <= now_ms)
            best = !best || r->rank < best->rank ? r : best;
        else if (*ret_due_ms == 0 || r->due_ms < *ret_due_ms)
            *ret_due_ms = r->due_ms;
    }
    return best;
}

static size_t count_running(void)
{
    size_t count = 0;
    for (size_t i = 0; i < repairs.count; i++)
        count += ((const struct repair *)repairs.entries[i].value)->running;
    return count;
}

static void on_due(void *context)
{
    begin_due(context);
}

static void begin_due(struct core *core)
{
    static bool within; /* begin() may come back here at once */
    if (within || !link_up(core->host))
        return;
    within = true;
    while (count_running() < at_once(core)) {
        int64_t due_ms = 0, now_ms = clock_mono_ms(core->clock);
        struct repair *r = next_due(now_ms, &due_ms);
        if (!r && due_ms)
            timer_start(&due_timer, due_ms - now_ms, 0, on_due, core);
        if (!r)
            break;
        begin(r);
    }
    within = false;
}

static void note_gone(struct core *core, const char *name, size_t rank)
{
    struct repair *r = map_get(&repairs, name);
    if (!r) {
        r = mem_alloc(sizeof(*r));
        *r = (struct repair){.core = core, .wait_ms = WAIT_FIRST_MS};
        (void)snprintf(r->name, sizeof(r->name), "%s", name);
        (void)map_put(&repairs, name, r);
    }
    r->gone = true;
    r->rank = rank;
}

void repair(struct core *core, const json_t *names)
{
    size_t i;
    json_t *name;
    for (i = 0; i < repairs.count; i++)
        ((struct repair *)repairs.entries[i].value)->gone = false;
    json_array_foreach(names, i, name) note_gone(core, json_string_value(name), i);
    forget_all(true);
    begin_due(core);
}
