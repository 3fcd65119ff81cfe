/* The plan compiler, as people read it: one line a step. */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "core/release/release_priv.h"

TAP_MAIN()

static json_t *numbered(const char *prefix, int count)
{
    json_t *names = json_array();
    for (int i = 1; i <= count; i++)
        json_push(names, json_sprintf("%s.%d", prefix, i));
    return names;
}

static void add_names(struct buf *text, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)(void) buf_add_format(text, " %s", json_string_value(name));
}

/* "start r2.1 r2.2", "route live=a r=1 share=2500 r2.1", ...; takes steps */
static char *shown(json_t *steps)
{
    AUTO_JSON *owned = steps;
    struct buf text = BUF_INIT(0);
    size_t i;
    json_t *step;
    json_array_foreach(owned, i, step)
    {
        const json_t *args = json_dict(step, "args");
        OK(*json_text_or(step, "text", ""));
        (void)buf_add_format(&text, "%s%s", i ? "\n" : "", json_text_or(step, "kind", "?"));
        if (json_object_get(args, "live"))
            (void)buf_add_format(
                &text, " live=%s r=%lld share=%lld", json_text_or(args, "live", ""),
                (long long)json_int(args, "release", -1), (long long)json_int(args, "share", -1));
        add_names(&text, json_list(args, "instances"));
    }
    return buf_take(&text);
}

#define IS_PLAN(steps_, want)                                                                      \
    do {                                                                                           \
        AUTO_FREE char *shown_ = shown(steps_);                                                    \
        IS_STR(shown_, (want));                                                                    \
    } while (0)

struct parts {
    json_t *warm, *fresh, *old;
};

static struct plan plan_of(struct parts *p, int warm, int fresh, int old)
{
    *p = (struct parts){numbered("w", warm), numbered("n", fresh), numbered("o", old)};
    return (struct plan){.release = 2,
                         .to_slot = "b",
                         .from_slot = old ? "a" : "",
                         .from_release = old ? 1 : 0,
                         .warm = p->warm,
                         .fresh = p->fresh,
                         .old = p->old,
                         .batches = 1,
                         .drain_ms = 30000,
                         .keep_warm_ms = 60000,
                         .prepare = fresh > 0};
}

static void parts_done(struct parts *p)
{
    json_decref(p->warm);
    json_decref(p->fresh);
    json_decref(p->old);
}

TEST(rolling_goes_one_by_one)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 4, 4);
    p.batches = 4;
    p.build = 7;
    IS_PLAN(plan_forward(&p), "build\nprepare\n"
                              "start n.1\nroute live=a r=1 share=2500 n.1\ndrain o.1\n"
                              "start n.2\nroute live=a r=1 share=5000 n.2\ndrain o.2\n"
                              "start n.3\nroute live=a r=1 share=7500 n.3\ndrain o.3\n"
                              "start n.4\nroute live=b r=2 share=0 n.4\ndrain o.4\n"
                              "finish");
    parts_done(&parts);
}

TEST(people_read_texts)
{
    static const char *const texts[] = {"build b7",
                                        "verify and unpack r2 on the host",
                                        "start 1 instance of r2 and wait until ready",
                                        "route 33.33 % of the traffic to r2",
                                        "start 2 instances of r2 and wait until ready",
                                        "route all traffic to r2",
                                        "drain 1 instance of r1",
                                        "r2 is live; keep r1 warm for 60 s"};
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 3, 1);
    p.batches = 2;
    p.build = 7;
    AUTO_JSON *steps = plan_forward(&p);
    IS_INT(json_array_size(steps), ARRAY_SIZE(texts));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        IS_STR(json_text(json_array_get(steps, i), "text"), texts[i]);
    parts_done(&parts);
}

TEST(all_at_once_is_one_batch)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 3, 2);
    IS_PLAN(plan_forward(&p), "prepare\nstart n.1 n.2 n.3\nroute live=b r=2 share=0 n.1 n.2 n.3\n"
                              "drain o.1 o.2\nfinish");
    parts_done(&parts);
}

TEST(a_first_release_drains_nothing)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 2, 0);
    IS_PLAN(plan_forward(&p), "prepare\nstart n.1 n.2\nroute live=b r=2 share=0 n.1 n.2\nfinish");
    parts_done(&parts);
}

TEST(a_warm_rollback_is_one_turn_of_the_edge)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 2, 0, 2);
    IS_PLAN(plan_forward(&p), "await w.1 w.2\nroute live=b r=2 share=0 w.1 w.2\n"
                              "drain o.1 o.2\nfinish");
    parts_done(&parts);
}

TEST(a_half_warm_rollback_starts_the_rest)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 1, 1, 2);
    IS_PLAN(plan_forward(&p), "prepare\nawait w.1\nstart n.1\nroute live=b r=2 share=0 n.1 w.1\n"
                              "drain o.1 o.2\nfinish");
    parts_done(&parts);
}

TEST(a_cold_rollback_starts_all)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 2, 2);
    IS_PLAN(plan_forward(&p), "prepare\nstart n.1 n.2\nroute live=b r=2 share=0 n.1 n.2\n"
                              "drain o.1 o.2\nfinish");
    parts_done(&parts);
}

TEST(a_stop_takes_all_out)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 1, 0, 2);
    IS_PLAN(plan_stop(&p), "route live= r=0 share=0\ndrain o.1 o.2\nstop o.1 o.2 w.1\nfinish");
    parts_done(&parts);
}

/* Whatever the numbers: every new instance is started and routed once, every old one drained once,
 * the old side never has all drained while it still gets traffic, and shares only grow. */
static void check_batches(int fresh, int old, int64_t batches)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, fresh, old);
    int64_t share = 0, started = 0, routed = 0, drained = 0;
    p.batches = batches;
    AUTO_JSON *steps = plan_forward(&p);
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        const json_t *args = json_dict(step, "args");
        int64_t count = (int64_t)json_array_size(json_list(args, "instances"));
        if (text_is(json_text(step, "kind"), "start"))
            started += count;
        if (text_is(json_text(step, "kind"), "route")) {
            routed += count;
            int64_t now = json_int(args, "share", 0);
            OK(now > share || (now == 0 && routed == fresh));
            share = now ? now : 10000;
            OK(started == routed);
        }
        if (text_is(json_text(step, "kind"), "drain")) {
            drained += count;
            OK(drained < old || share == 10000);
        }
    }
    IS_INT(started, fresh);
    IS_INT(routed, fresh);
    IS_INT(drained, old);
    IS_INT(share, 10000);
    parts_done(&parts);
}

TEST(any_numbers_make_a_sound_plan)
{
    for (int fresh = 1; fresh <= 7; fresh++)
        for (int old = 1; old <= 7; old++)
            for (int64_t batches = 1; batches <= fresh; batches++)
                check_batches(fresh, old, batches);
}

TEST(the_way_back_routes_drains_and_stops)
{
    struct parts parts;
    struct plan p = plan_of(&parts, 0, 0, 2);
    AUTO_JSON *started = numbered("n", 1);
    AUTO_JSON *nothing = json_array();
    IS_PLAN(plan_back(&p, started), "route live=a r=1 share=0 o.1 o.2\ndrain n.1\nstop n.1");
    IS_PLAN(plan_back(&p, nothing), "route live=a r=1 share=0 o.1 o.2");
    parts_done(&parts);
    p = plan_of(&parts, 0, 0, 0); /* from a first release: to nothing */
    IS_PLAN(plan_back(&p, started), "route live= r=0 share=0\ndrain n.1\nstop n.1");
    parts_done(&parts);
}

static int64_t batches(int64_t parallelism, const char *strategy_of_config, const char *strategy,
                       int64_t wanted, int64_t count)
{
    AUTO_JSON *config = json_pack("{s:{s:I,s:s}}", "update_config", "parallelism",
                                  (json_int_t)parallelism, "strategy", strategy_of_config);
    return plan_batches(config, strategy, wanted, count);
}

TEST(batches_follow_the_request_then_the_configuration)
{
    IS_INT(batches(1, "rolling", NULL, 0, 4), 4);
    IS_INT(batches(2, "rolling", NULL, 0, 5), 3);
    IS_INT(batches(9, "rolling", NULL, 0, 4), 1);
    IS_INT(batches(1, "all-at-once", NULL, 0, 4), 1);
    IS_INT(batches(1, "all-at-once", "rolling", 0, 4), 4);
    IS_INT(batches(0, "all-at-once", "rolling", 0, 4), 4); /* as config_parse makes it */
    IS_INT(batches(0, "all-at-once", NULL, 2, 4), 2);
    IS_INT(batches(0, "all-at-once", NULL, 0, 4), 1);
    IS_INT(batches(1, "rolling", "all-at-once", 3, 4), 1);
    IS_INT(batches(1, "rolling", NULL, 2, 4), 2);
    IS_INT(batches(1, "rolling", NULL, 9, 4), 4);
    IS_INT(batches(1, "rolling", NULL, 0, 0), 1);
}

TEST(names_lose_their_app_env)
{
    IS_STR(instance_short("shop.dev.r42.1"), "r42.1");
    IS_STR(instance_short("shop.dev.r42.1-7"), "r42.1-7");
    IS_STR(instance_short("odd"), "odd");
}
