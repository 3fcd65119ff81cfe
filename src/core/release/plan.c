/* The plan compiler: from "what runs" and "what shall run" to an ordered list of steps. Pure. */
#include "base/json.h"
#include "base/mem.h"
#include "core/release/release_priv.h"

#define SHARE_ALL 10000

static json_t *step_new(json_t *steps, const char *kind, char *text)
{
    json_t *step = json_object();
    json_t *args = json_object();
    json_put_text(step, "kind", kind);
    json_put_text(step, "text", text);
    json_put(step, "args", args);
    json_push(steps, step);
    free(text);
    return args;
}

static json_t *names_slice(const json_t *names, int64_t from, int64_t to)
{
    json_t *slice = json_array();
    for (int64_t i = from; i < to; i++)
        json_push(slice, json_incref(json_array_get(names, (size_t)i)));
    return slice;
}

static void add_start(json_t *steps, json_t *names, int64_t release)
{
    size_t count = json_array_size(names);
    json_t *args = step_new(steps, "start",
                            mem_format("start %zu %s of r%lld and wait until ready", count,
                                       count == 1 ? "instance" : "instances", (long long)release));
    json_put(args, "instances", names);
    json_put_int(args, "release", release);
}

/* Nothing is routed to what only lies in our rows. */
static void add_await(json_t *steps, const json_t *names, int64_t release)
{
    size_t count = json_array_size(names);
    json_t *args = step_new(steps, "await",
                            mem_format("make sure that %zu warm %s of r%lld %s ready", count,
                                       count == 1 ? "instance" : "instances", (long long)release,
                                       count == 1 ? "is" : "are"));
    json_put(args, "instances", json_copy((json_t *)(uintptr_t)names));
    json_put_int(args, "release", release);
}

static json_t *add_route(json_t *steps, json_t *names, const char *live, int64_t release,
                         int64_t share, const char *text_release)
{
    char *text = share ? mem_format("route %lld.%02lld %% of the traffic to %s",
                                    (long long)share / 100, (long long)share % 100, text_release)
                       : mem_format("route all traffic to %s", text_release);
    json_t *args = step_new(steps, "route", text);
    json_put(args, "instances", names);
    json_put_text(args, "live", live);
    json_put_int(args, "release", release);
    json_put_int(args, "share", share);
    return args;
}

static void add_drain(json_t *steps, json_t *names, int64_t release, int64_t drain_ms)
{
    size_t count = json_array_size(names);
    if (count == 0) {
        json_decref(names);
        return;
    }
    json_t *args = step_new(steps, "drain",
                            mem_format("drain %zu %s of r%lld", count,
                                       count == 1 ? "instance" : "instances", (long long)release));
    json_put(args, "instances", names);
    json_put_int(args, "release", release);
    json_put_int(args, "deadline_ms", drain_ms);
}

static void add_stop(json_t *steps, const json_t *names, const char *text)
{
    if (json_array_size(names) == 0)
        return;
    json_put(step_new(steps, "stop", mem_strdup(text)), "instances",
             json_copy((json_t *)(uintptr_t)names));
}

/* One batch: start some, give them their share, drain as many of the old. */
static void add_batch(json_t *steps, const struct plan *p, int64_t batch)
{
    int64_t fresh = (int64_t)json_array_size(p->fresh);
    int64_t warm = (int64_t)json_array_size(p->warm);
    int64_t old = (int64_t)json_array_size(p->old);
    int64_t from = fresh * (batch - 1) / p->batches;
    int64_t to = fresh * batch / p->batches;
    bool last = batch == p->batches;
    AUTO_FREE char *release = mem_format("r%lld", (long long)p->release);
    AUTO_JSON *names = names_slice(p->fresh, from, to);
    if (to > from)
        add_start(steps, json_copy(names), p->release);
    if (batch == 1)
        json_array_extend(names, (json_t *)(uintptr_t)p->warm);
    if (last || !*p->from_slot)
        (void)add_route(steps, TAKE(names), p->to_slot, p->release, 0, release);
    else
        json_put_int(add_route(steps, TAKE(names), p->from_slot, p->from_release,
                               SHARE_ALL * (to + warm) / (fresh + warm), release),
                     "to_release", p->release);
    add_drain(steps, names_slice(p->old, old * (batch - 1) / p->batches, old * batch / p->batches),
              p->from_release, p->drain_ms);
}

json_t *plan_forward(const struct plan *p)
{
    json_t *steps = json_array();
    if (p->build) {
        json_t *args = step_new(steps, "build", mem_format("build b%lld", (long long)p->build));
        json_put_int(args, "build_id", p->build_id);
        json_put_int(args, "build", p->build);
    }
    if (p->prepare)
        json_put_int(
            step_new(steps, "prepare",
                     mem_format("verify and unpack r%lld on the host", (long long)p->release)),
            "release", p->release);
    if (json_array_size(p->warm))
        add_await(steps, p->warm, p->release);
    for (int64_t batch = 1; batch <= p->batches; batch++)
        add_batch(steps, p, batch);
    char *text = p->from_release ? mem_format("r%lld is live; keep r%lld warm for %lld s",
                                              (long long)p->release, (long long)p->from_release,
                                              (long long)p->keep_warm_ms / 1000)
                                 : mem_format("r%lld is live", (long long)p->release);
    json_t *args = step_new(steps, "finish", text);
    json_put_int(args, "keep_warm_ms", p->keep_warm_ms);
    json_put_int(args, "release", p->release);
    json_put_int(args, "from_release", p->from_release);
    return steps;
}

json_t *plan_stop(const struct plan *p)
{
    json_t *steps = json_array();
    AUTO_JSON *all = json_copy((json_t *)(uintptr_t)p->old);
    json_array_extend(all, (json_t *)(uintptr_t)p->warm);
    (void)add_route(steps, json_array(), "", 0, 0,
                    "nobody: visitors are told that nothing is released");
    add_drain(steps, json_copy((json_t *)(uintptr_t)p->old), p->release, p->drain_ms);
    add_stop(steps, all, "stop all instances");
    (void)step_new(steps, "finish", mem_strdup("nothing runs here"));
    return steps;
}

json_t *plan_back(const struct plan *p, const json_t *started)
{
    json_t *steps = json_array();
    AUTO_FREE char *back_to = p->from_release ? mem_format("r%lld", (long long)p->from_release)
                                              : mem_strdup("nothing (there was no release before)");
    (void)add_route(steps, json_copy((json_t *)(uintptr_t)p->old), p->from_slot, p->from_release, 0,
                    back_to);
    add_drain(steps, json_copy((json_t *)(uintptr_t)started), p->release, p->drain_ms);
    AUTO_FREE char *text = mem_format("stop r%lld", (long long)p->release);
    add_stop(steps, started, text);
    return steps;
}

int64_t plan_batches(const json_t *config, const char *strategy, int64_t batches, int64_t count)
{
    const json_t *update = json_dict(config, "update_config");
    int64_t parallelism = json_int(update, "parallelism", 1);
    const char *own = batches > 0 ? "rolling" : json_text_or(update, "strategy", "rolling");
    if (text_is(strategy ? strategy : own, "all-at-once"))
        return 1;
    if (parallelism < 1) /* 0 is all at once, and somebody asked for rolling */
        parallelism = 1;
    if (batches <= 0)
        batches = (count + parallelism - 1) / parallelism;
    return batches < 1 ? 1 : batches > count && count > 0 ? count : batches;
}
