/* Group commit on the loop. While a batch is open an idle handle keeps the poll from blocking, and
 * the check handle that runs after each poll commits it; so every input of one turn shares one
 * fsync. */
#include "core/tick/tick.h"

#include <uv.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/loop.h"

#define AGAIN_MS 2000
#define TURNS_AT_END 100

struct after {
    struct after *next;
    void (*fn)(void *context, const struct err *error);
    void (*drop)(void *context);
    void *context;
};
struct after_list {
    struct after *first;
    struct after **last;
};
struct tick {
    struct store *store;
    uv_check_t check;
    uv_idle_t idle;
    int handles;         /* not yet closed; the last one frees us */
    struct timer *again; /* runs on_again */
    void (*on_again)(void *context);
    void *again_context;
    bool closing;
    bool open;               /* a batch is open */
    bool in_input;           /* an input runs now */
    struct after_list batch; /* of inputs that succeeded */
    struct after_list input; /* of the input that runs */
};

static void list_clear(struct after_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct after_list *l, struct after *a)
{
    a->next = NULL;
    *l->last = a;
    l->last = &a->next;
}

static void list_move(struct after_list *to, struct after_list *from)
{
    if (from->first) {
        *to->last = from->first;
        to->last = from->last;
    }
    list_clear(from);
}

static void list_run(struct after_list *l, const struct err *error)
{
    while (l->first) {
        struct after *a = l->first;
        l->first = a->next;
        a->fn(a->context, error);
        free(a);
    }
    list_clear(l);
}

static void list_drop(struct after_list *l)
{
    while (l->first) {
        struct after *a = l->first;
        l->first = a->next;
        if (a->drop)
            a->drop(a->context);
        else
            free(a->context);
        free(a);
    }
    list_clear(l);
}

static void run_again(void *context)
{
    struct tick *t = context;
    t->on_again(t->again_context);
}

void tick_on_again(struct tick *t, void (*fn)(void *context), void *context)
{
    t->on_again = fn;
    t->again_context = context;
}

void tick_again(struct tick *t)
{
    if (t->on_again && !t->again && !t->closing)
        timer_start(&t->again, AGAIN_MS, 0, run_again, t);
}

static void on_committed(void *context, const struct err *error)
{
    struct tick *t = context;
    struct after_list ready;
    list_clear(&ready);
    if (error)
        tick_again(t);
    list_move(&ready, &t->batch); /* an after-call may run an input, which opens a new batch */
    list_run(&ready, error);
}

static void flush(uv_check_t *check)
{
    struct tick *t = check->data;
    if (!t->open)
        return;
    t->open = false;
    uv_idle_stop(&t->idle);
    uv_check_stop(&t->check);
    store_commit(t->store, on_committed, t);
}

static void keep_turning(uv_idle_t *idle)
{
    (void)idle;
}

static int open_batch(struct tick *t, struct err *err)
{
    if (t->open)
        return 0;
    if (t->closing)
        return FAIL(err, E_UNAVAILABLE, "core is going down");
    if (store_begin(t->store, err) < 0)
        return -1;
    t->open = true;
    uv_idle_start(&t->idle, keep_turning);
    uv_check_start(&t->check, flush);
    return 0;
}

struct tick *tick_new(struct store *store)
{
    struct tick *t = mem_alloc(sizeof(*t));
    t->store = store;
    list_clear(&t->batch);
    list_clear(&t->input);
    uv_check_init(loop_get(), &t->check);
    uv_idle_init(loop_get(), &t->idle);
    t->handles = 2;
    t->check.data = t->idle.data = t;
    return t;
}

static void handle_closed(uv_handle_t *handle)
{
    struct tick *t = handle->data;
    if (--t->handles == 0)
        free(t);
}

/* After-calls may run inputs, which open another batch: all are made durable. The handles close at
 * the loop's next turn, if it has one. */
void tick_free(struct tick *t)
{
    if (!t)
        return;
    for (int turns = 0; t->open && turns < TURNS_AT_END; turns++)
        flush(&t->check);
    t->closing = true;
    timer_free(&t->again);
    uv_close((uv_handle_t *)&t->check, handle_closed);
    uv_close((uv_handle_t *)&t->idle, handle_closed);
}

int tick_input(struct tick *t, const char *what, int (*fn)(void *context, struct err *err),
               void *context, struct err *err)
{
    CHECK_LOOP();
    if (t->in_input)
        return fn(context, err);
    if (open_batch(t, err) < 0 || store_savepoint(t->store, err) < 0)
        return -1;
    check_command(what);
    t->in_input = true;
    int result = fn(context, err);
    t->in_input = false;
    store_savepoint_end(t->store, result >= 0);
    if (result < 0)
        list_drop(&t->input);
    else
        list_move(&t->batch, &t->input);
    check_command(NULL);
    return result;
}

void tick_after(struct tick *t, void (*fn)(void *context, const struct err *error),
                void (*drop)(void *context), void *context)
{
    if (!t->in_input && !t->open) {
        fn(context, NULL);
        return;
    }
    struct after *a = mem_alloc(sizeof(*a));
    *a = (struct after){NULL, fn, drop, context};
    list_add(t->in_input ? &t->input : &t->batch, a);
}

struct act {
    void (*act)(struct core *core, int64_t id);
    struct core *core;
    int64_t id;
};

static void act_after(void *context, const struct err *error)
{
    const struct act *a = context;
    if (!error)
        a->act(a->core, a->id);
    free(context);
}

void tick_act(struct tick *t, void (*act)(struct core *core, int64_t id), struct core *core,
              int64_t id)
{
    struct act *a = mem_alloc(sizeof(*a));
    *a = (struct act){act, core, id};
    tick_after(t, act_after, NULL, a);
}
