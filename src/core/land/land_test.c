/* Landings against a courier of our own: what he says ends one, what nobody knows does not. */
#include "base/log.h"
#include "core/core_fixture.h"
#include "core/host_fixture.h"

static struct core *core;
static struct fake_host host;
static struct app app;
static struct app_env prod;
static struct person root;

static void courier_up(struct core *c)
{
    landing_resume(c);
}

static int make_release(void *context, struct err *err)
{
    (void)context;
    return app_create(core, &root, "shop", "main", &app, err) < 0 ||
                   app_env_find(core, "shop", "prod", &prod, err) < 0 ||
                   app_env_route(core, &prod, "a", 1, 0, err) < 0
               ? -1
               : store_run(core->store, err,
                           "INSERT INTO release(app_env_id, number, artifact, config, secrets, "
                           "commit_id, branches, released_by, created_at, bad) VALUES($1, 1, "
                           "'sha256:1', '{}', '{}', '1111111111111111111111111111111111111111', "
                           "'[{\"branch\":\"feature/a\",\"tip\":\"x\"}]', 'wang', 1, 0)",
                           "i", prod.id);
}

static bool is_up(void *context)
{
    (void)context;
    return link_up(core->courier);
}

static void begin(void)
{
    struct err err = ERR_INIT;
    core = fixture_start(fixture_settings());
    fake_host_init(&host, core->settings);
    core->courier = link_new(core, &(struct link_options){"courier", NULL, 0, courier_up});
    person_root(&root);
    FINE(tick_input(core->tick, "test", make_release, NULL, &err));
    OK(until(is_up, NULL));
}

static void end(void)
{
    const struct settings *settings = core->settings;
    fixture_stop(core);
    fake_host_done(&host);
    until_quiet();
    settings_free((struct settings *)(uintptr_t)settings);
}

static int create(void *context, struct err *err)
{
    return landing_create(core, &root, &app, 0, context, err);
}

static void on_end(void *context, const struct err *error)
{
    IS_STR(error ? error->text : "", "");
    *(bool *)context = true;
}

static bool answer_all(void *context)
{
    while (host.asked_count)
        fake_answer(&host, 0);
    return *(bool *)context;
}

static char *land(int64_t *ret_id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    bool over = false;
    FINE(tick_input(core->tick, "test", create, ret_id, &err));
    landing_await(*ret_id, on_end, &over);
    OK(until(answer_all, &over));
    FINE(landing_row(core, app.id, *ret_id, &row, &err));
    return mem_strdup(json_text_or(row, "state", "?"));
}

TEST(it_lands_and_ends)
{
    int64_t id = 0;
    begin();
    AUTO_FREE char *state = land(&id);
    IS_STR(state, "done");
    end();
}

TEST(what_the_courier_refuses_has_failed)
{
    int64_t id = 0;
    begin();
    host.fail_land = E_REF_CHANGED;
    AUTO_FREE char *state = land(&id);
    IS_STR(state, "failed");
    AUTO_FREE char *again = land(&id); /* nothing stands in its way */
    IS_STR(again, "done");
    end();
}

static bool is_done(void *context)
{
    bool nobody = false;
    (void)context;
    (void)answer_all(&nobody);
    return fixture_count(core, "SELECT count(*) FROM landing WHERE state='done'") == 1;
}

/* He may have done it: that is found when he is asked again. */
TEST(what_nobody_knows_is_asked_again)
{
    int64_t id = 0;
    struct err err = ERR_INIT;
    begin();
    host.fail_land = E_TIMEOUT;
    AUTO_FREE char *state = land(&id);
    IS_STR(state, "doing");
    IS_REFUSED(tick_input(core->tick, "test", create, &id, &err), E_STATE_CONFLICT);
    landing_resume(core);
    OK(until(is_done, NULL));
    end();
}

int main(int argc, char **argv)
{
    log_setup("test", getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR);
    return tap_main(argc, argv);
}
