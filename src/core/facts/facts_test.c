/* Facts of sets against a courier of our own: when he is asked, when not, and who hears what. */
#include "base/log.h"
#include "core/core_fixture.h"
#include "core/host_fixture.h"

static struct core *core;
static struct fake_host host;
static struct app_env dev, test;
static struct person root;

static void courier_up(struct core *c)
{
    facts_resume(c->facts);
}

static int make_app(void *context, struct err *err)
{
    struct app app;
    AUTO_JSON *set = json_pack("[s, s]", "feature/a", "feature/bb");
    (void)context;
    return app_create(core, &root, "shop", "main", &app, err) < 0 ||
                   app_env_find(core, "shop", "dev", &dev, err) < 0 ||
                   app_env_find(core, "shop", "test", &test, err) < 0 ||
                   ticks_change(core, &root, &dev, NULL, NULL, set, err) < 0
               ? -1
               : 0;
}

static bool is_up(void *context)
{
    (void)context;
    return link_up(core->courier);
}

static bool is_down(void *context)
{
    return !is_up(context);
}

static void begin(void)
{
    struct err err = ERR_INIT;
    core = fixture_start(fixture_settings());
    fake_host_init(&host, core->settings);
    host.tips_stay = true;
    core->courier = link_new(core, &(struct link_options){"courier", NULL, 0, courier_up});
    person_root(&root);
    FINE(tick_input(core->tick, "test", make_app, NULL, &err));
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

/* One who asks. */
struct asker {
    int heard;
    size_t in;
    enum err_kind error;
};

static void on_facts(void *context, const json_t *facts, const struct err *error)
{
    struct asker *a = context;
    a->heard++;
    a->error = error ? error->kind : E_OK;
    a->in = json_array_size(json_list(facts, "in"));
}

static int64_t asked_facts; /* times that the courier was asked for facts */

static bool answer_all(void *context)
{
    const struct asker *a = context;
    while (host.asked_count) {
        asked_facts += text_is(host.asked[0].verb, "merge.facts");
        fake_answer(&host, 0);
    }
    return a->heard > 0;
}

static struct asker ask(const struct app_env *ae)
{
    struct asker a = {0};
    facts_ask(core->facts, ae, on_facts, &a);
    OK(until(answer_all, &a));
    IS_INT(a.heard, 1);
    return a;
}

TEST(what_has_not_changed_is_not_asked_again)
{
    begin();
    asked_facts = 0;
    IS_INT(ask(&dev).in, 2);
    IS_INT(ask(&dev).in, 2);
    IS_INT(asked_facts, 1);
    IS_INT(ask(&test).in, 0); /* nothing is ticked: asked, and empty */
    end();
}

static bool facts_were_asked(void *context)
{
    struct asker nobody = {0};
    (void)context;
    (void)answer_all(&nobody);
    return asked_facts > 0;
}

/* The feed says that something was pushed. */
TEST(a_push_is_looked_at_by_itself)
{
    begin();
    (void)ask(&dev);
    asked_facts = 0;
    host.commits++; /* every tip is another one */
    env_publish_repo(core, dev.app_id, NULL);
    OK(until(facts_were_asked, NULL));
    asked_facts = 0;
    IS_INT(ask(&dev).in, 2); /* known already */
    IS_INT(asked_facts, 0);
    end();
}

TEST(who_asks_while_the_courier_is_away_hears_so_and_later_it_is_known)
{
    begin();
    OK(until(is_up, NULL));
    fake_host_go(&host);
    OK(until(is_down, NULL));
    struct asker a = ask(&dev);
    IS_INT(a.error, E_ROLE_DOWN);
    fake_host_come(&host);
    OK(until(is_up, NULL));
    a = ask(&dev);
    IS_INT(a.error, E_OK);
    IS_INT(a.in, 2);
    end();
}

static int remove_app(void *context, struct err *err)
{
    struct app app;
    (void)context;
    return app_load(core, "shop", &app, err) < 0 ? -1 : app_remove(core, &root, &app, err);
}

TEST(an_app_that_is_removed_is_forgotten)
{
    struct err err = ERR_INIT;
    begin();
    (void)ask(&dev);
    FINE(tick_input(core->tick, "test", remove_app, NULL, &err));
    facts_resume(core->facts);
    struct app_env gone = dev;
    gone.id = test.id; /* one that nobody has asked of yet */
    IS_INT(ask(&gone).error, E_NOT_FOUND);
    end();
}

int main(int argc, char **argv)
{
    log_setup("test", getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR);
    return tap_main(argc, argv);
}
