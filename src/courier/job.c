/* Jobs: one verb each, blocking, on the pool; a queue and a limit for each class.
 *
 * A job owns a copy of its arguments and, for branch.list, integrate, merge.facts and
 * resolve.states, a cache of its app, which nobody else sees meanwhile (a second job of the same
 * app begins one of its own).
 */
#include "courier/courier_priv.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

#define WAITING_MAX 1000 /* of one class */

static const size_t running_max[JOB_CLASSES] = {
    [JOB_QUICK] = 6,   [JOB_MERGE] = 2, [JOB_FACTS] = 1, [JOB_EXPORT] = 4,
    [JOB_REMOTE] = 10, [JOB_FORGE] = 4, [JOB_UPKEEP] = 1};
static const char *const class_names[JOB_CLASSES] = {"quick",  "merge", "facts", "export",
                                                     "remote", "forge", "upkeep"};

struct job {
    struct job *next;
    struct courier *c;
    enum job_class class;
    git_work_fn *work;
    struct git_ask ask;
    json_t *args;
    struct ticket *ticket; /* NULL: nobody waits */
    struct git_progress progress;
    int told; /* of it */
    struct timer *ticker;
    int64_t started_ms;
    int result;
    json_t *reply;
    struct err err;
};

static void job_free(struct job *j)
{
    fd_closep(&j->ask.fd);
    json_decref(j->args);
    json_decref(j->reply);
    free(j);
}

/* --- the cache of an app -------------------------------------------------------------------- */

/* Facts have one of their own: they take long, and an integration shall not go without meanwhile.
 */
static char *cache_name(const struct job *j)
{
    const char *app = json_text(j->args, "app");
    if (j->work == git_merge_facts)
        return mem_format("%s facts", app);
    if (j->work == git_resolve_states)
        return mem_format("%s states", app);
    return j->work == git_branch_list || j->work == git_integrate ? mem_strdup(app) : NULL;
}

static void cache_take(struct job *j)
{
    AUTO_FREE char *name = cache_name(j);
    if (!name)
        return;
    j->ask.cache = map_remove(&j->c->caches, name);
    if (j->ask.cache)
        return;
    j->ask.cache = mem_alloc(sizeof(struct map));
    map_init(j->ask.cache);
}

static void cache_return(struct job *j)
{
    AUTO_FREE char *name = cache_name(j);
    if (!j->ask.cache)
        return;
    git_cache_free(map_put(&j->c->caches, name, j->ask.cache));
    j->ask.cache = NULL;
}

/* --- how far it is -------------------------------------------------------------------------- */

#define PROGRESS_MS 1000

static void on_ticker(void *context)
{
    struct job *j = context;
    int percent, now = atomic_load(&j->progress.now);
    const char *stage = git_progress_stage(&j->progress, &percent);
    if (now == j->told || !stage)
        return;
    j->told = now;
    json_t *args = json_object();
    json_put_text(args, "stage", stage);
    json_put_int(args, "percent", percent);
    ticket_event(j->ticket, "progress", args);
}

static void ticker_start(struct job *j)
{
    if (j->work != git_remote_fetch || !j->ticket)
        return;
    j->ask.progress = &j->progress;
    timer_start(&j->ticker, PROGRESS_MS, PROGRESS_MS, on_ticker, j);
}

/* --- running -------------------------------------------------------------------------------- */

static void job_done(void *context);

static void job_work(void *context)
{
    struct job *j = context;
    j->result = j->work(&j->ask, &j->reply, &j->err);
}

static void queue_run(struct courier *c, enum job_class class)
{
    struct job_queue *q = &c->queues[class];
    while (q->first && q->running < running_max[class]) {
        struct job *j = q->first;
        q->first = j->next;
        if (!q->first)
            q->end = &q->first;
        q->waiting--;
        q->running++;
        cache_take(j);
        ticker_start(j);
        loop_work(job_work, job_done, j);
    }
}

static void job_answer_ticket(struct job *j)
{
    if (j->ticket && j->result == 0)
        ticket_ok(TAKE(j->ticket), TAKE(j->reply));
    else if (j->ticket)
        ticket_fail(TAKE(j->ticket), &j->err);
    else if (j->result != 0)
        log_warn("upkeep failed, going on", F_STR("app", json_text(j->args, "app")),
                 F_ERR(&j->err));
}

static void job_done(void *context)
{
    struct job *j = context;
    struct courier *c = j->c;
    c->queues[j->class].running--;
    timer_free(&j->ticker);
    cache_return(j);
    fd_closep(&j->ask.fd); /* the reader sees the end before core has the answer */
    j->ask.fd = -1;
    job_answer_ticket(j);
    if (j->result == 0 && (j->work == git_integrate || j->work == git_remote_fetch))
        upkeep_note(c, json_text(j->args, "app"));
    if (j->work == git_repo_delete || j->work == git_integrate || j->work == git_merge_facts)
        job_background(c, git_sweep, json_object());
    log_debug("job done", F_STR("class", class_names[j->class]), F_INT("result", j->result),
              F_INT("ms", clock_mono_ms(clock_system()) - j->started_ms));
    queue_run(c, j->class);
    job_free(j);
}

static void job_queue_add(struct job *j)
{
    struct job_queue *q = &j->c->queues[j->class];
    if (!q->end)
        q->end = &q->first;
    *q->end = j;
    q->end = &j->next;
    q->waiting++;
    queue_run(j->c, j->class);
}

static struct job *job_new(struct courier *c, enum job_class class, git_work_fn *work, json_t *args)
{
    struct job *j = mem_alloc(sizeof(*j));
    j->c = c;
    j->class = class;
    j->work = work;
    j->args = args;
    j->ask = (struct git_ask){.store = &c->store, .args = args, .fd = -1};
    j->started_ms = clock_mono_ms(clock_system());
    return j;
}

void job_answer(struct courier *c, struct message *m, enum job_class class, git_work_fn *work)
{
    struct err err = ERR_INIT;
    if (m->channel != c->core) {
        (void)FAIL(&err, E_PROTOCOL, "'hello' must come first");
        message_fail(m, &err);
        return;
    }
    if (c->queues[class].waiting >= WAITING_MAX) {
        (void)FAIL(&err, E_TOO_MANY, "too many requests wait at the courier");
        message_fail(m, &err);
        return;
    }
    json_t *args = json_deep_copy(m->args);
    ASSERT(args);
    struct job *j = job_new(c, class, work, args);
    j->ask.fd = TAKE_FD(m->fds[0]);
    j->ticket = message_ticket(m);
    job_queue_add(j);
}

void job_background(struct courier *c, git_work_fn *work, json_t *args)
{
    job_queue_add(job_new(c, JOB_UPKEEP, work, args));
}

size_t job_count(const struct courier *c)
{
    size_t count = 0;
    for (size_t i = 0; i < JOB_CLASSES; i++)
        count += c->queues[i].waiting + c->queues[i].running;
    return count;
}

json_t *job_dump(const struct courier *c)
{
    json_t *dump = json_object();
    for (size_t i = 0; i < JOB_CLASSES; i++) {
        json_t *row = json_object();
        json_put_int(row, "running", (int64_t)c->queues[i].running);
        json_put_int(row, "waiting", (int64_t)c->queues[i].waiting);
        json_put(dump, class_names[i], row);
    }
    return dump;
}

/* --- upkeep --------------------------------------------------------------------------------- */

#define UPKEEP_DELAY_MS 2000
#define UPKEEP_PACKS 40         /* pushes and integrations until packs are joined */
#define UPKEEP_FULL_MS 86400000 /* everything into one pack, what is unreachable dropped */

struct upkeep {
    struct courier *c;
    char *app;
    struct timer *timer; /* NULL: nothing noted */
    int64_t packs;       /* since they were last joined */
    int64_t full_ms;     /* when everything was last joined, or we started */
};

static void upkeep_run(void *context)
{
    struct upkeep *u = context;
    int64_t now_ms = clock_mono_ms(clock_system());
    json_t *args = json_object();
    json_put_text(args, "app", u->app);
    if (now_ms - u->full_ms > UPKEEP_FULL_MS) {
        u->full_ms = now_ms;
        u->packs = 0;
        json_put_text(args, "repack", "full");
    } else if (u->packs >= UPKEEP_PACKS) {
        u->packs = 0;
        json_put_text(args, "repack", "geometric");
    }
    job_background(u->c, git_upkeep, args);
}

void upkeep_note(struct courier *c, const char *app)
{
    struct upkeep *u = map_get(&c->upkeep, app);
    if (!u) {
        u = mem_alloc(sizeof(*u));
        u->c = c;
        u->app = mem_strdup(app);
        u->full_ms = clock_mono_ms(clock_system());
        (void)map_put(&c->upkeep, app, u);
    }
    u->packs++;
    if (!u->timer)
        timer_start(&u->timer, UPKEEP_DELAY_MS, 0, upkeep_run, u);
}

void upkeep_done(struct courier *c)
{
    for (size_t i = 0; i < c->upkeep.count; i++) {
        struct upkeep *u = c->upkeep.entries[i].value;
        timer_free(&u->timer);
        free(u->app);
        free(u);
    }
    map_done(&c->upkeep);
}
