/* Apps, envs, ticks and domains with a real store. */
#include "core/env/env.h"
#include "core/core_fixture.h"

TAP_MAIN()

static struct person root;

static struct core *open_core(void)
{
    person_root(&root);
    return fixture_open();
}

static void new_app(struct core *core, const char *name, struct app *ret_app)
{
    struct err err = ERR_INIT;
    FINE(app_create(core, &root, name, "main", ret_app, &err));
}

static json_t *names_of(const char *comma_separated)
{
    json_t *names = json_array();
    struct str rest = str_of(comma_separated);
    while (rest.length)
        json_push(names, json_str_value(str_cut(&rest, ',')));
    return names;
}

TEST(an_app_has_an_app_env_in_every_env)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app shop, found;
    struct app_env ae, again;
    new_app(core, "shop", &shop);
    FINE(app_load(core, "shop", &found, &err));
    IS_INT(found.id, shop.id);
    IS_STR(found.trunk, "main");
    FINE(app_env_find(core, "shop", "dev", &ae, &err));
    IS_STR(ae.subject, "shop.dev");
    IS_STR(ae.live_slot, "");
    FINE(app_env_load(core, ae.id, &again, &err));
    IS_STR(again.env, "dev");
    FINE(env_create(core, &root, "stage", 25, NULL, &err));
    FINE(app_env_find(core, "shop", "stage", &ae, &err));
    AUTO_JSON *envs = NULL;
    FINE(env_list(core, &envs, &err));
    IS_INT(json_array_size(envs), 5);
    IS_STR(json_text(json_array_get(envs, 2), "name"), "stage");
    fixture_close(core);
}

TEST(names_follow_the_rule)
{
    static const char *const bad[] = {"a;reboot", "../x", ".",  "",  "A b",
                                      "con\n",    "-a",   "a-", "1a"};
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        IS_REFUSED(app_create(core, &root, bad[i], "main", &app, &err), E_NAME_INVALID);
        IS_REFUSED(env_create(core, &root, bad[i], 1, NULL, &err), E_NAME_INVALID);
    }
    IS_REFUSED(app_create(core, &root, "shop", "--upload-pack=x", &app, &err), E_REF_INVALID);
    new_app(core, "shop", &app);
    IS_REFUSED(app_create(core, &root, "shop", "main", &app, &err), E_EXISTS);
    IS_REFUSED(env_create(core, &root, "dev", 1, NULL, &err), E_EXISTS);
    fixture_close(core);
}

/* What does not exist and what one may not see read the same. */
TEST(what_is_not_there_has_one_text)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    struct app_env ae;
    int64_t id;
    new_app(core, "shop", &app);
    IS_REFUSED(app_load(core, "blog", &app, &err), E_NOT_FOUND);
    IS_STR(err.text, ACCESS_HIDDEN);
    IS_REFUSED(app_env_find(core, "shop", "moon", &ae, &err), E_NOT_FOUND);
    IS_STR(err.text, ACCESS_HIDDEN);
    IS_REFUSED(env_load(core, "moon", &id, &err), E_NOT_FOUND);
    IS_STR(err.text, ACCESS_HIDDEN);
    IS_REFUSED(app_env_load(core, 999, &ae, &err), E_NOT_FOUND);
    fixture_close(core);
}

static int change(struct core *core, const struct app_env *ae, const char *add, const char *remove,
                  const char *set, struct err *err)
{
    AUTO_JSON *added = names_of(add);
    AUTO_JSON *removed = names_of(remove);
    AUTO_JSON *all = set ? names_of(set) : NULL;
    return ticks_change(core, &root, ae, added, removed, all, err);
}

static char *ticked(struct core *core, const struct app_env *ae)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    AUTO_BUF text = BUF_INIT(0);
    FINE(ticks_list(core, ae->id, &rows, &err));
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)(void) buf_add_format(
        &text, "%s%s%s ", json_text(row, "branch"), json_text(row, "deployed_tip") ? ":" : "",
        json_text_or(row, "deployed_tip", ""));
    return buf_take(&text);
}

#define IS_TICKED(want)                                                                            \
    do {                                                                                           \
        AUTO_FREE char *ticked_ = ticked(core, &ae);                                               \
        IS_STR(ticked_, (want));                                                                   \
    } while (0)

TEST(ticks_keep_their_order_and_history)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    struct app_env ae;
    new_app(core, "shop", &app);
    FINE(app_env_find(core, "shop", "dev", &ae, &err));
    FINE(change(core, &ae, "b,a", "", NULL, &err));
    FINE(change(core, &ae, "c,a", "b", NULL, &err));
    IS_TICKED("a c ");
    AUTO_JSON *deployed =
        json_pack("[{s:s,s:s},{s:s,s:s}]", "branch", "a", "tip", "1", "branch", "gone", "tip", "2");
    FINE(ticks_deployed(core, ae.id, deployed, &err));
    FINE(change(core, &ae, "", "", "d,c,a", &err));
    IS_TICKED("d c a:1 ");
    FINE(change(core, &ae, "", "", "", &err));
    IS_TICKED("");
    IS_REFUSED(change(core, &ae, "main", "", NULL, &err), E_FIELD_INVALID);
    IS_REFUSED(change(core, &ae, "", "x", NULL, &err), E_BRANCH_UNKNOWN);
    IS_REFUSED(change(core, &ae, "-x", "", NULL, &err), E_REF_INVALID);
    AUTO_JSON *numbers = json_pack("[i]", 1);
    IS_REFUSED(ticks_change(core, &root, &ae, numbers, NULL, NULL, &err), E_REF_INVALID);
    fixture_close(core);
}

static int tick_many(void *context, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *many = json_array();
    for (int i = 0; i <= TICKS_MAX; i++)
        json_push(many, json_sprintf("b%d", i));
    if (app_env_find(context, "shop", "dev", &ae, err) < 0)
        return -1;
    return ticks_change(context, &root, &ae, many, NULL, NULL, err);
}

TEST(too_many_ticks_are_refused_whole)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    new_app(core, "shop", &app);
    IS_REFUSED(tick_input(core->tick, "test", tick_many, core, &err), E_TOO_MANY);
    fixture_durable();
    IS_INT(fixture_count(core, "SELECT count(*) FROM ticked"), 0);
    fixture_close(core);
}

static int set_domains(struct core *core, const struct app_env *ae, const char *names,
                       struct err *err)
{
    AUTO_JSON *list = names_of(names);
    return domains_set(core, &root, ae, list, err);
}

TEST(a_domain_belongs_to_one_app_env)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    struct app_env mine, other;
    new_app(core, "shop", &app);
    new_app(core, "blog", &app);
    FINE(app_env_find(core, "shop", "dev", &mine, &err));
    FINE(app_env_find(core, "blog", "dev", &other, &err));
    FINE(set_domains(core, &mine, "b.example.com,a.example.com", &err));
    AUTO_JSON *names = NULL;
    FINE(domains_list(core, &mine, &names, &err));
    IS_JSON(names, "[\"shop.dev.localhost\",\"a.example.com\",\"b.example.com\"]");
    FINE(set_domains(core, &mine, "a.example.com", &err)); /* again, without b */
    FINE(set_domains(core, &other, "b.example.com", &err));
    IS_REFUSED(set_domains(core, &other, "a.example.com", &err), E_DOMAIN_TAKEN);
    IS_REFUSED(set_domains(core, &mine, "blog.dev.localhost", &err), E_DOMAIN_TAKEN);
    IS_REFUSED(set_domains(core, &mine, "localhost", &err), E_DOMAIN_TAKEN);
    static const char *const bad[] = {
        "*.a.com",          "a.com:80", "a.com/x", "a.com\n server x 1:1",
        "a.com;set server", "*",        "A.com",   "a..com"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        IS_REFUSED(set_domains(core, &mine, bad[i], &err), E_DOMAIN_INVALID);
    fixture_close(core);
}

TEST(what_the_edge_is_told_has_growing_versions)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    struct app_env ae;
    new_app(core, "shop", &app);
    FINE(app_env_find(core, "shop", "dev", &ae, &err));
    FINE(app_env_edge_version(core, &ae, &err));
    IS_INT(ae.edge_version, 1);
    FINE(app_env_route(core, &ae, "a", 4, 2500, &err));
    IS_INT(ae.edge_version, 2);
    IS_STR(ae.live_slot, "a");
    IS_INT(ae.live_release, 4);
    IS_INT(ae.share, 2500);
    fixture_close(core);
}

static int remove_app(void *context, struct err *err)
{
    struct app app;
    if (app_load(context, "shop", &app, err) < 0)
        return -1;
    return app_remove(context, &root, &app, err);
}

/* Host, edge, builds and secrets know an app-env by its id: a later app must not inherit one. */
TEST(a_removed_app_leaves_no_id_behind)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app shop, again;
    struct app_env ae, fresh;
    new_app(core, "shop", &shop);
    FINE(app_env_find(core, "shop", "prod", &ae, &err));
    FINE(app_env_edge_version(core, &ae, &err));
    FINE(set_domains(core, &ae, "a.example.com", &err));
    FINE(change(core, &ae, "x", "", NULL, &err));
    FINE(tick_input(core->tick, "test", remove_app, core, &err));
    fixture_durable();
    IS_INT(fixture_count(core, "SELECT count(*) FROM domain"), 0);
    IS_INT(fixture_count(core, "SELECT count(*) FROM ticked"), 0);
    IS_INT(fixture_count(core, "SELECT count(*) FROM app_gone WHERE name='shop'"), 1);
    IS_INT(fixture_count(core, "SELECT count(*) FROM app_env_gone WHERE subject='shop.prod' AND "
                               "edge_version=2"),
           1);
    IS_INT(fixture_count(core, "SELECT count(*) FROM app_env_gone WHERE edge_version=0"), 3);
    IS_REFUSED(app_refuse_gone(core, "shop", &err), E_STATE_CONFLICT);
    fixture_run(core, "DELETE FROM app_gone");
    err = (struct err)ERR_INIT;
    FINE(app_refuse_gone(core, "shop", &err));
    new_app(core, "shop", &again);
    OK(again.id > shop.id);
    FINE(app_env_find(core, "shop", "dev", &fresh, &err));
    OK(fresh.id > ae.id);
    fixture_close(core);
}

static int create_late(void *context, struct err *err)
{
    struct app app;
    return app_create(context, &root, "late", "main", &app, err);
}

/* Ranges of user ids end: what host has forgotten is given again, and nothing else. */
TEST(a_range_of_user_ids_is_free_when_host_has_forgotten_its_last_owner)
{
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    struct app_env ae;
    new_app(core, "shop", &app);
    FINE(app_env_find(core, "shop", "prod", &ae, &err));
    IS_INT(ae.id_range, 4);
    FINE(tick_input(core->tick, "test", remove_app, core, &err));
    fixture_durable();
    new_app(core, "pay", &app);
    FINE(app_env_find(core, "pay", "dev", &ae, &err));
    IS_INT(ae.id_range, 5);
    fixture_run(core, "DELETE FROM app_env_gone WHERE subject IN ('shop.test', 'shop.prod')");
    new_app(core, "mail", &app);
    FINE(app_env_find(core, "mail", "dev", &ae, &err));
    IS_INT(ae.id_range, 2);
    FINE(app_env_find(core, "mail", "test", &ae, &err));
    IS_INT(ae.id_range, 4);
    FINE(app_env_find(core, "mail", "prod", &ae, &err));
    IS_INT(ae.id_range, 10);
    fixture_run(core,
                "INSERT INTO app_env_gone(id, id_range, subject, edge_version) WITH RECURSIVE "
                "n(n) AS (VALUES(11) UNION ALL SELECT n+1 FROM n WHERE n<29714) SELECT "
                "n+1000, n, 'x', 0 FROM n");
    IS_REFUSED(tick_input(core->tick, "test", create_late, core, &err), E_TOO_MANY);
    fixture_close(core);
}

TEST(an_app_that_runs_is_not_removed)
{
    static const char *const uses[] = {
        "INSERT INTO instance(name, app_env_id, release, rollout_id, slot, state, epoch, "
        "created_at) SELECT 'x', id, 1, 1, 'a', 'serving', 1, 1 FROM app_env LIMIT 1",
        "INSERT INTO rollout(app_env_id, kind, state, release, from_release, from_slot, to_slot, "
        "request, started_by, created_at) SELECT id, 0, 'running', 1, 0, '', 'a', '{}', 'x', 1 "
        "FROM app_env LIMIT 1",
        "INSERT INTO build(app_env_id, number, state, built_by, created_at, commit_id, trunk_tip, "
        "ticks, config) SELECT id, 1, 'queued', 'x', 1, '', '', '[]', '{}' FROM app_env LIMIT 1",
    };
    struct err err = ERR_INIT;
    struct core *core = open_core();
    struct app app;
    new_app(core, "shop", &app);
    for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
        fixture_run(core, uses[i]);
        IS_REFUSED(tick_input(core->tick, "test", remove_app, core, &err), E_STATE_CONFLICT);
        fixture_run(core, "DELETE FROM instance");
        fixture_run(core, "DELETE FROM rollout");
        fixture_run(core, "DELETE FROM build");
    }
    err = (struct err)ERR_INIT;
    FINE(tick_input(core->tick, "test", remove_app, core, &err));
    fixture_close(core);
}
