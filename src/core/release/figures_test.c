/* The figures of delivery: medians, and which rollouts count for what. */
#include "core/core_fixture.h"
#include "core/release/release_priv.h"

TAP_MAIN()

TEST(a_median_is_the_middle)
{
    int64_t odd[] = {9, 1, 5}, even[] = {4, 10, 2, 6}, one[] = {7};
    IS_INT(figures_median(odd, 3), 5);
    IS_INT(figures_median(even, 4), 5);
    IS_INT(figures_median(one, 1), 7);
    IS_INT(figures_median(one, 0), -1);
}

#define DONE .done = true
#define IS_FIGURES(rows, want)                                                                     \
    do {                                                                                           \
        struct figures f_;                                                                         \
        AUTO_JSON *json_ = json_object();                                                          \
        figures_init(&f_, ARRAY_SIZE(rows));                                                       \
        figures_add(&f_, rows, ARRAY_SIZE(rows));                                                  \
        figures_put(&f_, 2, json_);                                                                \
        figures_done(&f_);                                                                         \
        IS_JSON(json_, want);                                                                      \
    } while (0)

TEST(deploys_and_promotions_that_were_done_count)
{
    const struct figures_rollout rows[] = {
        {.kind = ROLLOUT_DEPLOY, DONE, .release = 1, .known_at = 100, .ended_at = 400},
        {.kind = ROLLOUT_PROMOTE, DONE, .release = 2, .known_at = 400, .ended_at = 500},
        {.kind = ROLLOUT_STOP, DONE, .release = 2, .ended_at = 600},
        {.kind = ROLLOUT_DEPLOY, DONE, .release = 3, .ended_at = 700},
        {.kind = ROLLOUT_DEPLOY, .release = 4, .ended_at = 800}}; /* cancelled */
    IS_FIGURES(rows, "{\"deploys\":3,\"deploys_per_day\":1.5,\"lead_time_ms\":200,"
                     "\"failed_share\":0.0,\"restore_ms\":null}");
}

TEST(what_is_left_by_a_rollback_has_failed)
{
    const struct figures_rollout rows[] = {
        {.kind = ROLLOUT_DEPLOY, DONE, .release = 1, .routed_at = 10, .ended_at = 20},
        {.kind = ROLLOUT_DEPLOY, DONE, .release = 2, .routed_at = 30, .ended_at = 40},
        {.kind = ROLLOUT_DEPLOY, .reverted = true, .release = 3, .routed_at = 50, .ended_at = 60},
        {.kind = ROLLOUT_ROLLBACK, DONE, .release = 1, .from_release = 2, .ended_at = 130},
        {.kind = ROLLOUT_ROLLBACK, DONE, .release = 2, .from_release = 1, .ended_at = 140},
    };
    /* r2 harmed for 100, r3 for 10: r1 was not left by the rollback from r2 */
    IS_FIGURES(rows, "{\"deploys\":2,\"deploys_per_day\":1.0,\"lead_time_ms\":null,"
                     "\"failed_share\":0.66700000000000004,\"restore_ms\":55}");
}

TEST(what_failed_before_it_got_traffic_harmed_nobody)
{
    const struct figures_rollout rows[] = {
        {.kind = ROLLOUT_DEPLOY, .reverted = true, .release = 1, .ended_at = 20},
        {.kind = ROLLOUT_DEPLOY, .failed = true, .release = 2, .routed_at = 30, .ended_at = 40},
        {.kind = ROLLOUT_DEPLOY, DONE, .release = 3, .routed_at = 60, .ended_at = 70}};
    IS_FIGURES(rows, "{\"deploys\":1,\"deploys_per_day\":0.5,\"lead_time_ms\":null,"
                     "\"failed_share\":0.66700000000000004,\"restore_ms\":40}");
}

static bool may_view(void *context, int64_t app_id)
{
    return app_id != *(int64_t *)context;
}

TEST(rows_of_the_env_and_of_what_one_may_view_only)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root;
    struct app shop, other;
    int64_t hidden;
    person_root(&root);
    FINE(app_create(core, &root, "shop", "main", &shop, &err));
    FINE(app_create(core, &root, "other", "main", &other, &err));
#define OF(app, env)                                                                               \
    "(SELECT ae.id FROM app_env ae JOIN app a ON a.id=ae.app_id JOIN env e ON e.id=ae.env_id "     \
    "WHERE a.name='" app "' AND e.name='" env "')"
#define NOW "9000000000000"
    fixture_run(core,
                "INSERT INTO build(app_env_id, number, state, built_by, created_at, commit_id, "
                "trunk_tip, ticks, config) VALUES(" OF("shop", "dev") ",1,'done','x'," NOW
                                                                      ",'c1','','','')");
    fixture_run(
        core,
        "INSERT INTO release(app_env_id, number, artifact, config, secrets, commit_id, branches, "
        "released_by, created_at) VALUES(" OF("shop", "prod") ",1,'','','','c1','','x'," NOW ")");
#define ROLLOUT(app, env, ended)                                                                   \
    "INSERT INTO rollout(app_env_id, kind, state, release, from_release, from_slot, to_slot, "     \
    "request, started_by, created_at, ended_at) VALUES(" OF(                                       \
        app, env) ",0,'done',1,0,'','a','','x',1," ended ")"
    fixture_run(core, ROLLOUT("shop", "prod", NOW "+5000"));
    fixture_run(core, ROLLOUT("shop", "prod", "1"));
    fixture_run(core, ROLLOUT("shop", "dev", NOW));
    fixture_run(core, ROLLOUT("other", "prod", NOW));
    hidden = other.id;
    AUTO_JSON *reply = NULL;
    struct figures_ask ask = {.env_id = 4, .days = 1, .may_view = may_view, .context = &hidden};
    FINE(figures_read(core, &ask, &reply, &err));
#define FIVE                                                                                       \
    "\"deploys\":1,\"deploys_per_day\":1.0,\"lead_time_ms\":5000,\"failed_share\":0.0,"            \
    "\"restore_ms\":null"
    IS_JSON(reply, "{\"days\":1," FIVE ",\"apps\":[{\"app\":\"shop\"," FIVE "}]}");
    fixture_close(core);
}
