#include "host/edge/edge_table.h"
#include "base/tap.h"

static const struct edge_limits limits = {"10.213.0.0/16", "slipway.localhost"};

static struct edge_app_env *parse(int64_t id, const char *name, const char *state, struct err *err)
{
    struct edge_key key = {name, id, 7};
    struct edge_app_env *e = NULL;
    AUTO_JSON *value = NULL;
    if (json_parse(str_of(state), &value, err) < 0 ||
        edge_app_env_parse(&limits, &key, value, &e, err) < 0)
        return NULL;
    return e;
}

static const char whole[] =
    "{\"domains\":[\"shop.dev.localhost\",\"shop.example.com\"],\"live\":\"a\",\"share\":500,"
    "\"slots\":{\"a\":[{\"name\":\"r42.1\",\"address\":\"10.213.0.7\",\"port\":3000,\"weight\":50,"
    "\"drain\":true}],\"b\":[]},\"maintenance\":false,\"wait_ms\":{\"a\":1000,\"b\":30000}}";

TEST(reads_the_whole_state)
{
    struct err err = ERR_INIT;
    AUTO_APP_ENV *e = parse(17, "shop.dev", whole, &err);
    char route[EDGE_ROUTE_MAX];
    OK(e != NULL);
    IS_INT(e->domain_count, 2);
    IS_STR(e->domains[1], "shop.example.com");
    IS_INT(e->slots[EDGE_SLOT_A].count, 1);
    IS_STR(e->slots[EDGE_SLOT_A].servers[0].address, "10.213.0.7");
    IS_INT(e->slots[EDGE_SLOT_A].servers[0].weight, 50);
    OK(e->slots[EDGE_SLOT_A].servers[0].drain);
    edge_app_env_route(e, route);
    IS_STR(route, "e17a|e17b|500|1000|30000");
    e->share = 0;
    edge_app_env_route(e, route);
    IS_STR(route, "e17a|e17b|0|1000|0"); /* whatever else becomes of the other slot */
}

TEST(knows_which_slot_gets_requests)
{
    struct edge_app_env e = {.live = EDGE_SLOT_A};
    char route[EDGE_ROUTE_MAX];
    OK(edge_app_env_routed(&e, EDGE_SLOT_A) && !edge_app_env_routed(&e, EDGE_SLOT_B));
    e.share = 1;
    OK(edge_app_env_routed(&e, EDGE_SLOT_A) && edge_app_env_routed(&e, EDGE_SLOT_B));
    e.share = EDGE_SHARE_ALL;
    OK(!edge_app_env_routed(&e, EDGE_SLOT_A) && edge_app_env_routed(&e, EDGE_SLOT_B));
    e.maintenance = true;
    OK(!edge_app_env_routed(&e, EDGE_SLOT_A) && !edge_app_env_routed(&e, EDGE_SLOT_B));
    edge_app_env_route(&e, route);
    IS_STR(route, "!maintenance");
    e = (struct edge_app_env){.live = EDGE_SLOT_NONE};
    OK(!edge_app_env_routed(&e, EDGE_SLOT_A));
    edge_app_env_route(&e, route);
    IS_STR(route, "!none");
}

TEST(refuses_what_would_be_more_than_a_value)
{
    static const struct {
        const char *name;
        const char *state;
        enum err_kind kind;
    } rows[] = {
        {"shop", "{\"domains\":[],\"live\":\"\",\"slots\":{}}", E_NAME_INVALID},
        {"shop.dev.x", "{\"domains\":[],\"live\":\"\",\"slots\":{}}", E_NAME_INVALID},
        {"shop.dev", "{\"domains\":[\"a.com\\n server evil\"],\"live\":\"\",\"slots\":{}}",
         E_DOMAIN_INVALID},
        {"shop.dev", "{\"domains\":[\"a.com;set server\"],\"live\":\"\",\"slots\":{}}",
         E_DOMAIN_INVALID},
        {"shop.dev", "{\"domains\":[\"*\"],\"live\":\"\",\"slots\":{}}", E_DOMAIN_INVALID},
        {"shop.dev", "{\"domains\":[\"*.a.com\"],\"live\":\"\",\"slots\":{}}", E_DOMAIN_INVALID},
        {"shop.dev", "{\"domains\":[\"a.com/../\"],\"live\":\"\",\"slots\":{}}", E_DOMAIN_INVALID},
        {"shop.dev", "{\"domains\":[\"slipway.localhost\"],\"live\":\"\",\"slots\":{}}",
         E_DOMAIN_TAKEN},
        {"shop.dev", "{\"domains\":[1],\"live\":\"\",\"slots\":{}}", E_FIELD_INVALID},
        {"shop.dev", "{\"domains\":[],\"live\":\"c\",\"slots\":{}}", E_FIELD_INVALID},
        {"shop.dev", "{\"domains\":[],\"live\":\"a\",\"share\":10001,\"slots\":{}}",
         E_OUT_OF_RANGE},
        {"shop.dev", "{\"domains\":[],\"live\":\"\",\"slots\":{\"c\":[]}}", E_FIELD_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = ERR_INIT;
        OK(!parse(1, rows[i].name, rows[i].state, &err));
        IS_STR(err_name(err.kind), err_name(rows[i].kind));
    }
}

TEST(refuses_targets_that_are_no_instances)
{
    static const struct {
        const char *server;
        enum err_kind kind;
    } rows[] = {
        {"{\"name\":\"r1\",\"address\":\"127.0.0.1\",\"port\":7000}", E_TARGET_FORBIDDEN},
        {"{\"name\":\"r1\",\"address\":\"10.214.0.1\",\"port\":80}", E_TARGET_FORBIDDEN},
        {"{\"name\":\"r1\",\"address\":\"169.254.169.254\",\"port\":80}", E_TARGET_FORBIDDEN},
        {"{\"name\":\"r1\",\"address\":\"localhost\",\"port\":80}", E_TARGET_FORBIDDEN},
        {"{\"name\":\"r1\",\"address\":\"unix@/run/x\",\"port\":80}", E_TARGET_FORBIDDEN},
        {"{\"name\":\"r1 x\",\"address\":\"10.213.0.1\",\"port\":80}", E_NAME_INVALID},
        {"{\"name\":\"R1\",\"address\":\"10.213.0.1\",\"port\":80}", E_NAME_INVALID},
        {"{\"name\":\"r1\",\"address\":\"10.213.0.1\",\"port\":0}", E_OUT_OF_RANGE},
        {"{\"name\":\"r1\",\"address\":\"10.213.0.1\",\"port\":80,\"weight\":257}", E_OUT_OF_RANGE},
        {"{\"name\":\"r1\",\"address\":\"10.213.0.1\",\"port\":80},"
         "{\"name\":\"r1\",\"address\":\"10.213.0.2\",\"port\":80}",
         E_EXISTS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = ERR_INIT;
        AUTO_FREE char *state =
            mem_format("{\"domains\":[],\"live\":\"\",\"slots\":{\"a\":[%s]}}", rows[i].server);
        OK(!parse(1, "shop.dev", state, &err));
        IS_STR(err_name(err.kind), err_name(rows[i].kind));
    }
}

TEST(keeps_domains_and_names_apart)
{
    struct edge_table t = {0};
    struct err err = ERR_INIT;
    edge_table_put(&t, parse(17, "shop.dev", whole, &err));
    AUTO_APP_ENV *thief = parse(
        18, "evil.dev", "{\"domains\":[\"shop.example.com\"],\"live\":\"\",\"slots\":{}}", &err);
    IS_INT(edge_table_check(&t, thief, &err), -1);
    IS_INT(err.kind, E_DOMAIN_TAKEN);
    AUTO_APP_ENV *twin = parse(19, "shop.dev", "{\"domains\":[],\"live\":\"\",\"slots\":{}}", &err);
    IS_INT(edge_table_check(&t, twin, &err), -1);
    IS_INT(err.kind, E_EXISTS);
    struct edge_key old = {"shop.dev", 17, 6}, newer = {"shop.dev", 17, 8};
    AUTO_APP_ENV *late = edge_app_env_removed(&old);
    IS_INT(edge_table_check(&t, late, &err), -1);
    IS_INT(err.kind, E_EPOCH_STALE);
    edge_table_put(&t, edge_app_env_removed(&newer));
    IS_INT(edge_table_check(&t, thief, &err), 0);
    IS_INT(edge_table_check(&t, twin, &err), 0);
    edge_table_done(&t);
}

TEST(comes_back_from_its_file)
{
    struct edge_table t = {0}, again = {0};
    struct err err = ERR_INIT;
    struct edge_key gone = {"old.dev", 3, 9};
    AUTO_BUF text = BUF_INIT(0);
    AUTO_BUF second = BUF_INIT(0);
    edge_table_put(&t, parse(17, "shop.dev", whole, &err));
    edge_table_put(&t, edge_app_env_removed(&gone));
    edge_table_print(&t, &text);
    IS_INT(edge_table_scan(&limits, buf_str(&text), &again, &err), 0);
    IS_INT(again.count, 2);
    IS_INT(again.items[0]->id, 3);
    OK(again.items[0]->removed && again.items[0]->version == 9);
    edge_table_print(&again, &second);
    IS_STR(second.data, text.data);
    edge_table_done(&t);
    edge_table_done(&again);
}

TEST(leaves_out_a_bad_line_and_refuses_a_newer_file)
{
    struct edge_table t = {0};
    struct err err = ERR_INIT;
    IS_INT(edge_table_scan(&limits,
                           STR("{\"format\":1}\n{\"app_env\":\"x\"}\nnonsense\n"
                               "{\"app_env\":\"a.b\",\"app_env_id\":1,\"version\":1,\"removed\":"
                               "true}\n"),
                           &t, &err),
           0);
    IS_INT(t.count, 1);
    IS_INT(edge_table_scan(&limits, STR("{\"format\":2}\n"), &t, &err), -1);
    IS_INT(err.kind, E_SCHEMA_NEWER);
    IS_INT(edge_table_scan(&limits, STR(""), &t, &err), -1);
    edge_table_done(&t);
}

TAP_MAIN()
