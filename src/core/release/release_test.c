/* Whole releases against a host and a courier of our own, on real sockets: scripted scenes, then
 * some hundred runs of a seed each, in which answers come in any order, instances never get ready,
 * the edge refuses, host goes away and comes back (with or without its instances), core is
 * restarted between two commits, and people cancel. After each run the same must hold: the rollout
 * has ended, the rows of its steps are consistent, what the edge routes to is what serves, nothing
 * is left over, and the next release goes through. */
#include "base/log.h"
#include "core/core_fixture.h"
#include "core/config/config.h"
#include "core/host_fixture.h"
#include "core/release/release_priv.h"

#define RUNS 150
#define PATIENCE_MS 20000

struct sim {
    struct core *core;
    struct settings *settings;
    struct fake_host host;
    struct app_env ae;
    struct person root;
    uint64_t random;
    int64_t rollout;
    int64_t instances; /* of each release */
    int64_t retain;    /* 0: as usual */
    int64_t commits;
    /* what may happen while one rollout is on its way, in 1/1000 of each turn */
    int go, restart, cancel;
    int gone; /* turns until host comes back */
    int events;
    bool lose; /* a host that comes back has lost its instances */
};

static uint64_t dice(struct sim *s, uint64_t sides)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % sides;
}

static bool chance(struct sim *s, int in_thousand)
{
    return (int)dice(s, 1000) < in_thousand;
}

/* ---- core, and people ---- */

static void resume(void *context, const struct err *error)
{
    if (!error)
        release_resume(context);
    if (!error)
        build_resume(context);
}

static void no_drop(void *context)
{
    (void)context;
}

static void resume_builds(void *context, const struct err *error)
{
    if (!error)
        build_resume(context);
}

static void on_again(void *context)
{
    tick_after(((struct core *)context)->tick, resume, no_drop, context);
}

static void on_host_up(struct core *core)
{
    tick_after(core->tick, resume, no_drop, core);
}

static void on_courier_up(struct core *core)
{
    tick_after(core->tick, resume_builds, no_drop, core);
}

static void on_changed(void *context, struct message *m)
{
    release_instance_changed(context, json_dict(m->args, "instance"));
}

static const struct message_verb host_verbs[] = {
    {WIRE("instance.changed", host_instance_changed), .handle = on_changed}};

static void core_up(struct sim *s)
{
    s->core = fixture_start(s->settings);
    tick_on_again(s->core->tick, on_again, s->core);
    fixture_run(s->core, "PRAGMA synchronous=OFF"); /* the machine does not crash here */
    s->core->host = link_new(s->core, &(struct link_options){"host", host_verbs, 1, on_host_up});
    s->core->courier = link_new(s->core, &(struct link_options){"courier", NULL, 0, on_courier_up});
}

/* kill -9 between two commits: what was not committed is lost, and what was to follow is not done
 */
static void core_restart(struct sim *s, bool lose_turn)
{
    struct err err = ERR_INIT;
    if (lose_turn && store_dirty(s->core->store))
        FINE(store_run(s->core->store, &err, "ROLLBACK", ""));
    log_debug("core is restarted", F_INT("loses a turn", lose_turn));
    fixture_stop(s->core);
    core_up(s);
}

static int create_app(void *context, struct err *err)
{
    struct sim *s = context;
    struct app app;
    if (app_create(s->core, &s->root, "shop", "main", &app, err) < 0)
        return -1;
    return app_env_find(s->core, "shop", "dev", &s->ae, err);
}

static void sim_open(struct sim *s, uint64_t seed)
{
    struct err err = ERR_INIT;
    *s = (struct sim){.random = seed * 0x9e3779b97f4a7c15u + 1, .instances = 2};
    s->settings = fixture_settings();
    fake_host_init(&s->host, s->settings);
    core_up(s);
    person_root(&s->root);
    FINE(tick_input(s->core->tick, "test", create_app, s, &err));
}

static void sim_close(struct sim *s)
{
    IS_STR(s->host.violations.length ? s->host.violations.data : "", "");
    fixture_stop(s->core);
    fake_host_done(&s->host);
    until_quiet();
    settings_free(s->settings);
}

static json_t *source_of(struct sim *s)
{
    struct err err = ERR_INIT;
    json_t *config = NULL;
    AUTO_FREE char *yaml = mem_format(
        "run: node server.js\ninstances: %lld\nkeep_warm: 30s\ndrain_timeout: 1s\nretain: "
        "%lld\n",
        (long long)s->instances, s->retain ? (long long)s->retain : 5);
    AUTO_FREE char *commit = mem_format("%040lld", (long long)++s->commits);
    FINE(config_parse(str_of(yaml), "dev", &config, &err));
    json_t *source = json_object();
    json_put_text(source, "commit", commit);
    json_put_text(source, "trunk_tip", commit);
    json_put(source, "ticks", json_array());
    json_put(source, "config", config);
    return source;
}

struct wish {
    struct sim *sim;
    struct rollout_request request;
};

static int create_rollout(void *context, struct err *err)
{
    struct wish *w = context;
    struct sim *s = w->sim;
    if (app_env_load(s->core, s->ae.id, &s->ae, err) < 0)
        return -1;
    return rollout_create(s->core, &s->root, &s->ae, &w->request, &s->rollout, err);
}

static int ask(struct sim *s, struct rollout_request request, struct err *err)
{
    struct wish w = {s, request};
    AUTO_JSON *source = NULL;
    if (request.kind == ROLLOUT_DEPLOY && !request.release)
        source = source_of(s);
    w.request.source = source;
    return tick_input(s->core->tick, "rollout", create_rollout, &w, err);
}

static void deploy(struct sim *s, struct rollout_request request)
{
    struct err err = ERR_INIT;
    FINE(ask(s, request, &err));
}

static int cancel_rollout(void *context, struct err *err)
{
    struct sim *s = context;
    return rollout_cancel(s->core, &s->root, s->rollout, err);
}

static char *state_of(struct sim *s, int64_t id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    FINE(rollout_row(s->core, s->ae.id, id, &row, &err));
    return mem_strdup(json_text_or(row, "state", "?"));
}

#define IS_STATE(want)                                                                             \
    do {                                                                                           \
        AUTO_FREE char *state_ = state_of(&s, s.rollout);                                          \
        IS_STR(state_, (want));                                                                    \
    } while (0)

/* ---- time goes on ---- */

static bool rollouts_ended(struct sim *s)
{
    return fixture_count(s->core, "SELECT count(*) FROM rollout WHERE state IN "
                                  "('running','reverting')") == 0;
}

/* Nothing is under way any more, but for what rests warm. */
static bool at_rest(struct sim *s)
{
    return s->host.asked_count == 0 && !s->gone && rollouts_ended(s) && link_up(s->core->host) &&
           fixture_count(s->core, "SELECT count(*) FROM instance WHERE state NOT IN "
                                  "('serving','warm')") == 0 &&
           fixture_count(s->core, "SELECT count(*) FROM build WHERE state IN "
                                  "('queued','running')") == 0;
}

static void turn_quietly(void)
{
    static struct timer *tick;
    timer_start(&tick, 10, 0, until_tick, NULL);
    (void)uv_run(loop_get(), UV_RUN_ONCE);
    timer_free(&tick);
}

static void host_goes_or_comes(struct sim *s)
{
    if (!s->gone) {
        fake_host_go(&s->host);
        s->gone = 1 + (int)dice(s, 8);
    } else if (--s->gone == 0) {
        if (s->lose && chance(s, 300))
            fake_lose_instances(&s->host);
        fake_host_come(&s->host);
    }
}

static void mishap(struct sim *s)
{
    struct err err = ERR_INIT;
    if (s->gone) {
        host_goes_or_comes(s);
        return;
    }
    if (s->events <= 0)
        return;
    if (chance(s, s->go)) {
        s->events--;
        host_goes_or_comes(s);
    }
    if (chance(s, s->cancel) && !rollouts_ended(s)) {
        s->events--;
        err_ignore(tick_input(s->core->tick, "cancel", cancel_rollout, s, &err)); /* too late */
        if (s->restart && chance(s, 300))
            core_restart(s, true); /* nobody has heard of it */
    }
    if (chance(s, s->restart)) {
        s->events--;
        core_restart(s, chance(s, 500));
    }
}

/* One turn: something of the script, or one answer. */
static void turn(struct sim *s)
{
    (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    mishap(s);
    if (s->host.asked_count && chance(s, 700))
        fake_answer(&s->host, dice(s, s->host.asked_count));
    else if (!s->host.asked_count)
        turn_quietly();
}

/* At rest, and still so when all that was on its way has come. */
static bool settle(struct sim *s)
{
    int64_t start = clock_mono_ms(clock_system());
    for (int quiet = 0; quiet < 20; quiet++) {
        if (clock_mono_ms(clock_system()) - start > PATIENCE_MS)
            return false;
        if (at_rest(s)) {
            (void)uv_run(loop_get(), UV_RUN_NOWAIT);
            continue;
        }
        quiet = 0;
        turn(s);
    }
    return true;
}

/* What rests warm has rested enough. */
static bool settle_long(struct sim *s)
{
    if (!settle(s))
        return false;
    fixture_skipped += 120000;
    instance_sweep(s->core);
    return settle(s);
}

/* ---- what must hold ---- */

static void print_rows(struct sim *s, const char *sql)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    FINE(store_rows(s->core->store, &rows, &err, sql, ""));
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        AUTO_FREE char *text = json_print(row);
        printf("#   %s\n", text);
    }
}

static void print_all(struct sim *s)
{
    print_rows(s, "SELECT * FROM app_env WHERE edge_version>0");
    print_rows(s, "SELECT id, kind, state, step, release, from_release, from_slot, to_slot, error "
                  "FROM rollout");
    print_rows(s, "SELECT rollout_id, position, kind, text, state, error FROM rollout_step WHERE "
                  "rollout_id=(SELECT max(id) FROM rollout)");
    print_rows(s, "SELECT name, release, slot, state, address, expires_at FROM instance");
    print_rows(s, "SELECT id, number, state, error FROM build");
    AUTO_FREE char *edge = json_print(s->host.edge);
    printf("#   edge %s\n#   asked:", edge);
    for (size_t n = 0; n < s->host.asked_count; n++)
        printf(" %s", s->host.asked[n].verb);
    printf(" gone %d, link %d\n", s->gone, link_up(s->core->host));
}

#define NONE(sql) IS_INT(fixture_count(s->core, "SELECT count(*) FROM " sql), 0)

/* Rows of steps of a rollout that has ended. */
static bool steps_are_consistent(struct sim *s)
{
    bool good = NONE("rollout_step WHERE state IN ('pending','doing')");
    good &= NONE("rollout_step WHERE state='done' AND (started_at IS NULL OR ended_at IS NULL OR "
                 "ended_at<started_at OR error IS NOT NULL)");
    good &= NONE("rollout_step WHERE state='failed' AND error IS NULL");
    good &= NONE("rollout_step s JOIN rollout r ON r.id=s.rollout_id WHERE r.state='done' AND "
                 "s.state<>'done' AND NOT EXISTS (SELECT 1 FROM rollout_step w WHERE "
                 "w.rollout_id=r.id AND w.kind='await' AND w.state='failed')");
    good &= NONE("rollout r WHERE state<>'done' AND error IS NULL");
    good &= NONE("rollout r WHERE ended_at IS NULL");
    good &= NONE("rollout r WHERE (SELECT max(position)+1 FROM rollout_step WHERE "
                 "rollout_id=r.id)<>(SELECT count(*) FROM rollout_step WHERE rollout_id=r.id)");
    return good;
}

/* Names (r1.1) that the edge gives requests to, in order of their names. */
static json_t *edge_names(struct sim *s)
{
    const json_t *state = fake_edge_state(&s->host, "shop.dev");
    json_t *names = json_array();
    if (!*json_text_or(state, "live", ""))
        return names;
    size_t i;
    json_t *server;
    json_array_foreach(json_list(json_dict(state, "slots"), json_text(state, "live")), i, server)
        json_push(names, json_incref(json_object_get(server, "name")));
    return names;
}

static json_t *serving_names(struct sim *s)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    json_t *names = json_array();
    FINE(store_rows(s->core->store, &rows, &err,
                    "SELECT i.name FROM instance i JOIN app_env ae ON ae.id=i.app_env_id WHERE "
                    "i.state='serving' AND i.slot=ae.live_slot AND i.release=ae.live_release ORDER "
                    "BY i.name",
                    ""));
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        json_push(names, json_string(instance_short(json_text_or(row, "name", ""))));
    return names;
}

/* Rows, edge and host say the same, and there is nothing else. */
static bool reality_is_one(struct sim *s)
{
    AUTO_JSON *edge = edge_names(s);
    AUTO_JSON *serving = serving_names(s);
    AUTO_FREE char *edge_text = json_print(edge);
    AUTO_FREE char *serving_text = json_print(serving);
    const json_t *state = fake_edge_state(&s->host, "shop.dev");
    int64_t live =
        fixture_count(s->core, "SELECT coalesce(max(live_release),0) FROM app_env WHERE id=1");
    bool good = IS_STR(edge_text, serving_text);
    good &= IS_INT(json_int(state, "share", 0), 0);
    good &= IS_INT((int64_t)json_array_size(serving), live ? s->instances : 0);
    good &= IS_INT(fixture_count(s->core, "SELECT count(*) FROM instance"),
                   (int64_t)json_array_size(serving));
    good &= IS_INT((int64_t)s->host.instances.count, (int64_t)json_array_size(serving));
    return good;
}

static bool all_holds(struct sim *s)
{
    bool good = OK(rollouts_ended(s));
    good &= steps_are_consistent(s);
    good &= reality_is_one(s);
    good &= IS_STR(s->host.violations.length ? s->host.violations.data : "", "");
    if (!good)
        print_all(s);
    return good;
}

/* ---- scenes ---- */

static void on_told(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok, (void)error;
}

TEST(first_second_and_back)
{
    struct sim s;
    sim_open(&s, 1);
    deploy(&s, (struct rollout_request){0});
    OK(settle(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM instance WHERE state='serving'"), 2);
    deploy(&s, (struct rollout_request){0});
    OK(settle(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM instance WHERE state='warm'"), 2);
    deploy(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK}); /* warm */
    OK(settle(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM rollout_step WHERE rollout_id=3"), 4);
    IS_INT(fixture_count(s.core, "SELECT live_release FROM app_env WHERE id=1"), 1);
    IS_INT(fixture_count(s.core, "SELECT number FROM release WHERE bad=1"), 2);
    OK(settle_long(&s));
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(a_cold_rollback_starts_again)
{
    struct sim s;
    sim_open(&s, 2);
    for (int i = 0; i < 2; i++) {
        deploy(&s, (struct rollout_request){0});
        OK(settle_long(&s));
    }
    deploy(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK, .release = 1});
    OK(settle_long(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT live_release FROM app_env WHERE id=1"), 1);
    OK(all_holds(&s));
    sim_close(&s);
}

static int64_t targets(struct sim *s)
{
    struct err err = ERR_INIT;
    AUTO_JSON *numbers = NULL;
    FINE(app_env_load(s->core, s->ae.id, &s->ae, &err));
    FINE(release_targets(s->core, &s->ae, &numbers, &err));
    return (int64_t)json_array_size(numbers);
}

TEST(retain_says_how_many_targets_there_are)
{
    struct sim s;
    sim_open(&s, 2);
    for (int i = 0; i < 7; i++) {
        deploy(&s, (struct rollout_request){0});
        OK(settle_long(&s));
    }
    IS_INT(targets(&s), 5);
    s.retain = 2;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_INT(targets(&s), 2);
    sim_close(&s);
}

TEST(one_rollout_at_a_time)
{
    struct err err = ERR_INIT;
    struct sim s;
    sim_open(&s, 3);
    deploy(&s, (struct rollout_request){0});
    IS_REFUSED(ask(&s, (struct rollout_request){0}, &err), E_ROLLOUT_ACTIVE);
    OK(strstr(err.text, "root") != NULL);
    OK(settle_long(&s));
    IS_REFUSED(ask(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK}, &err),
               E_NO_ROLLBACK_TARGET);
    IS_REFUSED(ask(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK, .release = 1}, &err),
               E_STATE_CONFLICT);
    IS_REFUSED(ask(&s, (struct rollout_request){.release = 9}, &err), E_NOT_FOUND);
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(a_sick_release_is_reverted)
{
    struct sim s;
    sim_open(&s, 4);
    s.instances = 4;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    s.host.fail_start = 3;
    deploy(&s, (struct rollout_request){.batches = 4});
    OK(settle_long(&s));
    IS_STATE("reverted");
    IS_INT(fixture_count(s.core, "SELECT live_release FROM app_env WHERE id=1"), 1);
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(a_first_release_that_is_sick_leaves_nothing)
{
    struct sim s;
    sim_open(&s, 5);
    s.host.fail_start = 2;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_STATE("reverted");
    IS_INT(fixture_count(s.core, "SELECT live_release FROM app_env WHERE id=1"), 0);
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(a_build_or_an_artifact_that_fails_touches_nothing)
{
    struct sim s;
    sim_open(&s, 6);
    s.host.fail_build = 1;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_STATE("failed");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM build WHERE state='failed'"), 1);
    s.host.fail_prepare = 1;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_STATE("failed");
    OK(json_object_get(s.host.edge, "shop.dev") == NULL);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT live_release FROM app_env WHERE id=1"), 3);
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(an_edge_that_refuses_once_is_reverted)
{
    struct sim s;
    sim_open(&s, 7);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    for (int64_t nth = 1; nth <= 5; nth++) {
        s.host.refuse_edge = nth;
        deploy(&s, (struct rollout_request){.batches = 2});
        OK(settle_long(&s));
        IS_STATE("reverted");
        s.host.refuse_edge = 0;
        if (!OK(all_holds(&s)))
            break;
    }
    sim_close(&s);
}

/* The way back fails too: somebody must act, and then it goes on. Nothing that the edge may still
 * route to is stopped before a minute has passed. */
TEST(an_edge_that_refuses_all_ends_failed)
{
    struct sim s;
    sim_open(&s, 8);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    s.host.refuse_edge = 2; /* half the traffic is moved by then */
    s.host.refuse_count = 3;
    deploy(&s, (struct rollout_request){.batches = 2});
    OK(settle(&s));
    IS_STATE("failed");
    s.host.refuse_edge = s.host.refuse_count = 0;
    app_env_edge_refresh(s.core, 1, on_told, NULL);
    OK(settle_long(&s));
    OK(all_holds(&s));
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    IS_STATE("done");
    OK(all_holds(&s));
    sim_close(&s);
}

/* Cancelled at each step in turn, until a rollout gets through before its turn comes. */
TEST(it_can_be_cancelled_at_each_step)
{
    struct sim s;
    bool done = false;
    sim_open(&s, 9);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    for (int64_t step = 0; step < 20 && !done; step++) {
        struct err err = ERR_INIT;
        deploy(&s, (struct rollout_request){.batches = 2});
        while (!rollouts_ended(&s) &&
               fixture_count(s.core, "SELECT step FROM rollout ORDER BY id DESC LIMIT 1") < step)
            turn(&s);
        done = rollouts_ended(&s);
        if (!done)
            FINE(tick_input(s.core->tick, "cancel", cancel_rollout, &s, &err));
        OK(settle_long(&s));
        IS_STATE(done ? "done" : "cancelled");
        if (!OK(all_holds(&s)))
            break;
    }
    OK(done);
    sim_close(&s);
}

TEST(a_cancelled_build_is_killed)
{
    struct err err = ERR_INIT;
    struct sim s;
    sim_open(&s, 10);
    deploy(&s, (struct rollout_request){0});
    while (fixture_count(s.core, "SELECT count(*) FROM build WHERE state='running'") == 0)
        turn(&s);
    FINE(tick_input(s.core->tick, "cancel", cancel_rollout, &s, &err));
    OK(settle_long(&s));
    IS_STATE("cancelled");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM build WHERE state='cancelled'"), 1);
    IS_STR(json_string_value(json_array_get(s.host.cancelled, 0)), "shop.dev.b1");
    IS_REFUSED(tick_input(s.core->tick, "cancel", cancel_rollout, &s, &err), E_STATE_CONFLICT);
    sim_close(&s);
}

/* Reserved by a rollback that must start one more, warm ones do not end while it is on its way. */
TEST(warm_instances_wait_for_their_rollback)
{
    struct sim s;
    sim_open(&s, 11);
    for (int i = 0; i < 2; i++) {
        deploy(&s, (struct rollout_request){0});
        OK(settle(&s));
    }
    fixture_run(s.core, "DELETE FROM instance WHERE name='shop.dev.r1.1'"); /* one is gone */
    fake_forget(&s.host, "shop.dev.r1.1");
    deploy(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK});
    fixture_skipped += 120000; /* longer than they were to rest */
    OK(settle(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM instance WHERE state='serving'"), 2);
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM instance WHERE name='shop.dev.r1.2' AND "
                                 "state='serving'"),
           1);
    OK(settle_long(&s));
    OK(all_holds(&s));
    sim_close(&s);
}

/* They died while nobody told core: nothing may be routed to them, and the rollback goes on. */
TEST(a_rollback_to_warm_ones_that_are_gone_starts_new_ones)
{
    struct sim s;
    sim_open(&s, 13);
    for (int i = 0; i < 2; i++) {
        deploy(&s, (struct rollout_request){0});
        OK(settle(&s));
    }
    fake_forget(&s.host, "shop.dev.r1.1");
    deploy(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK});
    OK(settle(&s));
    IS_STATE("done");
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM rollout_step WHERE rollout_id=3 AND "
                                 "kind='await' AND state='failed'"),
           1);
    IS_INT(fixture_count(s.core, "SELECT count(*) FROM instance WHERE state='serving' AND "
                                 "release=1 AND name LIKE '%-3'"),
           2);
    OK(settle_long(&s));
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(a_failed_rollback_lets_warm_instances_end)
{
    struct sim s;
    sim_open(&s, 12);
    for (int i = 0; i < 2; i++) {
        deploy(&s, (struct rollout_request){0});
        OK(settle(&s));
    }
    fixture_run(s.core, "DELETE FROM instance WHERE name='shop.dev.r1.1'");
    fake_forget(&s.host, "shop.dev.r1.1");
    s.host.fail_prepare = 1;
    deploy(&s, (struct rollout_request){.kind = ROLLOUT_ROLLBACK});
    OK(settle(&s));
    IS_STATE("failed");
    OK(settle_long(&s));
    OK(all_holds(&s));
    sim_close(&s);
}

TEST(what_host_lost_is_started_again)
{
    struct sim s;
    sim_open(&s, 13);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    fake_host_go(&s.host);
    fake_lose_instances(&s.host);
    fake_host_come(&s.host);
    while (s.host.instances.count < 2 || !at_rest(&s))
        turn(&s);
    OK(settle_long(&s));
    buf_clear(&s.host.violations); /* what is lost stays in the table until it is back */
    OK(all_holds(&s));
    const json_t *state = fake_edge_state(&s.host, "shop.dev");
    const json_t *server = json_array_get(json_list(json_dict(state, "slots"), "a"), 0);
    const struct fake_instance *i = map_get(&s.host.instances, "shop.dev.r1.1");
    IS_STR(json_text(server, "address"), i ? i->address : "");
    sim_close(&s);
}

static void lose_all(struct sim *s)
{
    fake_host_go(&s->host);
    fake_lose_instances(&s->host);
    (void)json_array_clear(s->host.starts);
    fake_host_come(&s->host);
}

static bool all_are_back(struct sim *s, size_t count)
{
    int64_t start = clock_mono_ms(clock_system());
    while (s->host.instances.count < count || !at_rest(s)) {
        if (clock_mono_ms(clock_system()) - start > PATIENCE_MS)
            return false;
        turn(s);
    }
    buf_clear(&s->host.violations);
    return settle_long(s) && all_holds(s);
}

/* On a host that is small for its apps, starts that are asked for all at once miss their deadlines
 * all together, again and again. */
TEST(what_host_lost_is_started_a_few_at_a_time)
{
    struct sim s;
    sim_open(&s, 16);
    s.instances = 7;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    s.host.start_most = 2;
    lose_all(&s);
    OK(all_are_back(&s, 7));
    IS_INT(json_array_size(s.host.starts), 7); /* each one once */
    sim_close(&s);
}

TEST(one_of_each_app_env_comes_first_and_the_last_stage_before_the_others)
{
    static const char *const stages[] = {"prod", "dev", "test"};
    struct err err = ERR_INIT;
    struct sim s;
    sim_open(&s, 17);
    for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
        FINE(app_env_find(s.core, "shop", stages[i], &s.ae, &err));
        deploy(&s, (struct rollout_request){0});
        OK(settle_long(&s));
    }
    s.host.start_most = 2;
    lose_all(&s);
    while (s.host.instances.count < 6 || !at_rest(&s)) {
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
        if (s.host.asked_count)
            fake_answer(&s.host, 0); /* in the order in which it was asked */
        else
            turn_quietly();
    }
    IS_JSON(s.host.starts, "[\"shop.prod.r1.1\",\"shop.test.r1.1\",\"shop.dev.r1.1\","
                           "\"shop.prod.r1.2\",\"shop.test.r1.2\",\"shop.dev.r1.2\"]");
    buf_clear(&s.host.violations);
    sim_close(&s);
}

/* It holds up nobody else, and is asked for again after a while, then after a longer one. */
TEST(what_does_not_start_waits_and_the_others_go_on)
{
    struct sim s;
    sim_open(&s, 18);
    s.instances = 4;
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    s.host.fail_start = 1;
    lose_all(&s);
    while (s.host.instances.count < 3 || !at_rest(&s))
        turn(&s);
    IS_INT(json_array_size(s.host.starts), 4);
    s.host.fail_start = 1;
    fixture_skipped += 11000;
    instance_reconcile(s.core); /* anything makes it look */
    while (json_array_size(s.host.starts) < 5 || !at_rest(&s))
        turn(&s);
    IS_INT(s.host.instances.count, 3);
    fixture_skipped += 11000;
    instance_reconcile(s.core);
    OK(settle(&s));
    IS_INT(json_array_size(s.host.starts), 5); /* not yet */
    fixture_skipped += 11000;
    instance_reconcile(s.core);
    OK(all_are_back(&s, 4));
    IS_INT(json_array_size(s.host.starts), 6);
    sim_close(&s);
}

TEST(what_nobody_knows_is_stopped)
{
    struct sim s;
    sim_open(&s, 14);
    deploy(&s, (struct rollout_request){0});
    OK(settle_long(&s));
    struct fake_instance *stray = mem_alloc(sizeof(*stray));
    stray->state = FAKE_READY;
    (void)map_put(&s.host.instances, "shop.dev.r9.1", stray);
    fake_host_go(&s.host);
    fake_host_come(&s.host);
    while (s.host.instances.count > 2 || !at_rest(&s))
        turn(&s);
    OK(all_holds(&s));
    sim_close(&s);
}

/* As a full disk would: events of steps and of the build are refused for a while. */
TEST(what_cannot_be_stored_is_tried_again)
{
    static const char *const tables[] = {"rollout_step", "build"};
    struct sim s;
    sim_open(&s, 15);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        AUTO_FREE char *trigger = mem_format("CREATE TEMP TRIGGER full BEFORE UPDATE ON %s BEGIN "
                                             "SELECT RAISE(ABORT, 'full'); END",
                                             tables[i]);
        deploy(&s, (struct rollout_request){0});
        fixture_run(s.core, trigger);
        for (int turns = 0; turns < 60; turns++)
            turn(&s);
        OK(!rollouts_ended(&s));
        fixture_run(s.core, "DROP TRIGGER full");
        OK(settle_long(&s));
        IS_STATE("done");
        OK(all_holds(&s));
    }
    sim_close(&s);
}

/* ---- runs of a seed ---- */

static void choose_script(struct sim *s)
{
    s->go = chance(s, 400) ? 20 : 0;
    s->restart = chance(s, 400) ? 15 : 0;
    s->cancel = chance(s, 250) ? 15 : 0;
    s->events = 1 + (int)dice(s, 3);
    s->lose = chance(s, 300);
    if (chance(s, 300))
        s->host.fail_start = 1 + (int64_t)dice(s, 4);
    if (chance(s, 300))
        s->host.refuse_edge = 1 + (int64_t)dice(s, 6);
    if (s->host.refuse_edge && chance(s, 300)) {
        s->host.refuse_count = (int64_t)dice(s, 4);
        s->host.lenient = true;
    }
    if (chance(s, 100))
        s->host.fail_prepare = 1;
    if (chance(s, 100))
        s->host.fail_build = 1;
}

static void end_script(struct sim *s)
{
    s->go = s->restart = s->cancel = s->events = 0;
    s->host.fail_start = s->host.refuse_edge = s->host.refuse_count = 0;
    s->host.fail_prepare = s->host.fail_build = 0;
}

/* After a run in which the edge refused more than once, somebody acts. */
static bool settle_after_script(struct sim *s)
{
    bool good = settle(s);
    end_script(s);
    if (s->host.lenient)
        app_env_edge_refresh(s->core, s->ae.id, on_told, NULL);
    if (s->lose) { /* what the script let fail is tried again after a while */
        repair_reset();
        instance_reconcile(s->core);
    }
    return good && settle(s) && settle_long(s);
}

static bool run_one(uint64_t seed)
{
    struct err err = ERR_INIT;
    struct sim s;
    sim_open(&s, seed);
    s.instances = 1 + (int64_t)dice(&s, 4);
    bool good = true;
    deploy(&s, (struct rollout_request){0});
    good &= OK(settle(&s));
    for (int i = 0; i < 2 && good; i++) {
        choose_script(&s);
        struct rollout_request request = {.batches = (int64_t)dice(&s, 4)};
        if (i && chance(&s, 500))
            request = (struct rollout_request){.kind = ROLLOUT_ROLLBACK};
        if (ask(&s, request, &err) < 0)
            good &= IS_STR(err_name(err.kind), "no_rollback_target");
        good &= OK(settle_after_script(&s));
        if (s.lose)
            buf_clear(&s.host.violations);
        s.host.lenient = s.lose = false;
        good &= all_holds(&s);
    }
    if (good) {
        deploy(&s, (struct rollout_request){0});
        good &= OK(settle_long(&s));
        good &= all_holds(&s);
        AUTO_FREE char *state = state_of(&s, s.rollout);
        good &= IS_STR(state, "done");
    }
    if (!good) {
        printf("# seed %llu\n", (unsigned long long)seed);
        print_all(&s);
    }
    sim_close(&s);
    return good;
}

TEST(any_order_and_any_mishap)
{
    const char *seed_text = getenv("SEED"), *runs_text = getenv("RUNS");
    uint64_t first = seed_text ? (uint64_t)strtoull(seed_text, NULL, 10) : 1000;
    uint64_t count = runs_text ? (uint64_t)strtoull(runs_text, NULL, 10) : seed_text ? 1 : RUNS;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct err err = ERR_INIT;
        if (!run_one(seed))
            break;
        FINE(file_remove_tree(tap_dir(), &err));
        FINE(file_make_dirs(tap_dir(), 0700, &err));
    }
}

int main(int argc, char **argv)
{
    log_setup("test", getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR);
    return tap_main(argc, argv);
}
