#include "host/edge/edge_plan.h"
#include "base/tap.h"

static const struct edge_limits limits = {"10.213.0.0/16", "slipway.localhost"};

/* One app-env, number 17, against a model. */
struct bench {
    struct edge_model model;
    struct edge_commands commands;
    struct edge_plan plan;
};

static void bench_init(struct bench *b)
{
    edge_model_init(&b->model);
    edge_commands_init(&b->commands);
    b->plan = (struct edge_plan){"H", "R", &b->model, &b->commands};
    edge_model_read_backends(&b->model, STR("# name\nedge\ne17a\ne17b\ne18a\ne18b\nunready\n"));
}

static void bench_done(struct bench *b)
{
    edge_model_done(&b->model);
    edge_commands_done(&b->commands);
}

static struct edge_app_env *state(const char *live, int share, const char *a, const char *b)
{
    struct err err = ERR_INIT;
    struct edge_key key = {"shop.dev", 17, 1};
    struct edge_app_env *e = NULL;
    AUTO_JSON *value = NULL;
    AUTO_FREE char *text =
        mem_format("{\"domains\":[\"shop.dev.localhost\"],\"live\":\"%s\",\"share\":%d,\"slots\":{"
                   "\"a\":[%s],\"b\":[%s]}}",
                   live, share, a, b);
    OK(json_parse(str_of(text), &value, &err) == 0);
    OK(edge_app_env_parse(&limits, &key, value, &e, &err) == 0);
    return e;
}

#define ONE "{\"name\":\"r1.1\",\"address\":\"10.213.0.1\",\"port\":80}"
#define ONE_DRAINS "{\"name\":\"r1.1\",\"address\":\"10.213.0.1\",\"port\":80,\"drain\":true}"
#define ONE_MOVED "{\"name\":\"r1.1\",\"address\":\"10.213.0.9\",\"port\":81,\"weight\":7}"
#define TWO "{\"name\":\"r2.1\",\"address\":\"10.213.0.2\",\"port\":80}"

/* Plan it and tell the commands, which are forgotten. */
static const char *planned(struct bench *b, struct edge_app_env *e)
{
    static char text[4096];
    OK(edge_plan_app_env(&b->plan, e));
    (void)snprintf(text, sizeof(text), "%s", b->commands.text.data ? b->commands.text.data : "");
    edge_commands_done(&b->commands);
    edge_app_env_unref(e);
    return text;
}

TEST(adds_checks_readies_and_routes)
{
    struct bench b;
    bench_init(&b);
    IS_STR(planned(&b, state("a", 0, ONE, "")),
           "add server e17a/r1.1 10.213.0.1:80 weight 100 check inter 1s fall 2 rise 1\n"
           "enable health e17a/r1.1\n"
           "set server e17a/r1.1 state ready\n"
           "add map R shop.dev e17a|e17b|0|0|0\n"
           "add map H shop.dev.localhost shop.dev\n");
    IS_STR(planned(&b, state("a", 0, ONE, "")), "");
    bench_done(&b);
}

TEST(flips_with_one_map_entry_after_the_adds)
{
    struct bench b;
    bench_init(&b);
    (void)planned(&b, state("a", 0, ONE, ""));
    IS_STR(planned(&b, state("b", 0, ONE, TWO)),
           "add server e17b/r2.1 10.213.0.2:80 weight 100 check inter 1s fall 2 rise 1\n"
           "enable health e17b/r2.1\n"
           "set server e17b/r2.1 state ready\n"
           "set map R shop.dev e17b|e17a|0|0|0\n");
    IS_STR(planned(&b, state("b", 0, "", TWO)), ""); /* without traffic: left to the sweeper */
    OK(edge_model_server(&b.model, 17, EDGE_SLOT_A, "r1.1")->gone);
    IS_STR(planned(&b, state("a", 0, ONE, TWO)), "set server e17a/r1.1 health up\n"
                                                 "set map R shop.dev e17a|e17b|0|0|0\n");
    OK(!edge_model_server(&b.model, 17, EDGE_SLOT_A, "r1.1")->gone);
    bench_done(&b);
}

TEST(drains_where_requests_come)
{
    struct bench b;
    bench_init(&b);
    (void)planned(&b, state("a", 0, ONE "," TWO, ""));
    IS_STR(planned(&b, state("a", 0, ONE_DRAINS "," TWO, "")),
           "set server e17a/r1.1 state drain\n");
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")),
           "set server e17a/r1.1 state ready\nset server e17a/r1.1 health up\n");
    IS_STR(planned(&b, state("a", 0, TWO, "")), "set server e17a/r1.1 state drain\n");
    OK(edge_model_server(&b.model, 17, EDGE_SLOT_A, "r1.1")->gone);
    bench_done(&b);
}

TEST(drains_the_unwanted_before_their_slot_gets_requests)
{
    struct bench b;
    bench_init(&b);
    (void)planned(&b, state("b", 0, ONE, TWO));
    IS_STR(planned(&b, state("a", 0, "", TWO)),
           "set server e17a/r1.1 state drain\nset map R shop.dev e17a|e17b|0|0|0\n");
    bench_done(&b);
}

TEST(moves_and_weighs)
{
    struct bench b;
    bench_init(&b);
    (void)planned(&b, state("a", 0, ONE, ""));
    IS_STR(planned(&b, state("a", 0, ONE_MOVED, "")),
           "set server e17a/r1.1 addr 10.213.0.9 port 81\nset server e17a/r1.1 weight 7\n"
           "set server e17a/r1.1 health up\n");
    bench_done(&b);
}

/* Its former bearer's end was seen by HAProxy's check, the server is down: it must not stay so. */
TEST(a_name_that_comes_back_is_up_at_once)
{
    struct bench b;
    bench_init(&b);
    (void)planned(&b, state("a", 0, ONE, ""));
    (void)planned(&b, state("b", 0, "", TWO));
    IS_STR(planned(&b, state("b", 0, ONE_MOVED, TWO)),
           "set server e17a/r1.1 addr 10.213.0.9 port 81\nset server e17a/r1.1 weight 7\n"
           "set server e17a/r1.1 health up\n");
    bench_done(&b);
}

TEST(who_is_not_ready_gets_nothing_while_another_is)
{
    struct bench b;
    struct map unready;
    bench_init(&b);
    map_init(&unready);
    b.plan.unready = &unready;
    (void)planned(&b, state("a", 0, ONE "," TWO, ""));
    (void)map_put(&unready, "e17/r1.1", &unready);
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")), "set server e17a/r1.1 state drain\n");
    (void)map_put(&unready, "e17/r2.1", &unready); /* now none is: the last goes on, alone */
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")), "");
    IS_STR(planned(&b, state("a", 0, ONE, "")),
           "set server e17a/r1.1 state ready\nset server e17a/r1.1 health up\n"
           "set server e17a/r2.1 state drain\n"); /* it is gone: never are all out */
    (void)planned(&b, state("a", 0, ONE "," TWO, ""));
    (void)map_remove(&unready, "e17/r1.1");
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")), "");
    (void)map_remove(&unready, "e17/r2.1");
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")),
           "set server e17a/r2.1 state ready\nset server e17a/r2.1 health up\n");
    map_done(&unready);
    bench_done(&b);
}

/* HAProxy does one command after the other, while requests come: in between, too, one must take
 * them. */
TEST(who_takes_over_is_ready_before_the_other_drains)
{
    struct bench b;
    struct map unready;
    bench_init(&b);
    map_init(&unready);
    b.plan.unready = &unready;
    (void)map_put(&unready, "e17/r2.1", &unready);
    (void)planned(&b, state("a", 0, ONE "," TWO, ""));
    (void)planned(&b, state("a", 0, ONE "," TWO, ""));
    (void)map_remove(&unready, "e17/r2.1");
    (void)map_put(&unready, "e17/r1.1", &unready);
    IS_STR(planned(&b, state("a", 0, ONE "," TWO, "")),
           "set server e17a/r2.1 state ready\nset server e17a/r2.1 health up\n"
           "set server e17a/r1.1 state drain\n");
    IS_STR(planned(&b, state("a", 0, ONE_DRAINS "," TWO, "")), "");
    map_done(&unready);
    bench_done(&b);
}

TEST(takes_everything_of_a_removed_one_away)
{
    struct bench b;
    struct edge_key key = {"shop.dev", 17, 2};
    bench_init(&b);
    (void)planned(&b, state("a", 0, ONE, ""));
    IS_STR(planned(&b, edge_app_env_removed(&key)),
           "del map H shop.dev.localhost\ndel map R shop.dev\n");
    OK(edge_model_server(&b.model, 17, EDGE_SLOT_A, "r1.1")->gone);
    bench_done(&b);
}

TEST(says_when_there_are_no_backends)
{
    struct bench b;
    struct edge_key key = {"other.dev", 99, 1};
    struct err err = ERR_INIT;
    struct edge_app_env *e = NULL;
    AUTO_JSON *value = json_pack("{s:[],s:s,s:{}}", "domains", "live", "", "slots");
    bench_init(&b);
    OK(edge_app_env_parse(&limits, &key, value, &e, &err) == 0);
    OK(!edge_plan_app_env(&b.plan, e));
    IS_INT(b.commands.count, 0);
    edge_app_env_unref(e);
    bench_done(&b);
}

TEST(makes_a_strange_process_ours)
{
    struct bench b;
    struct edge_table t = {0};
    bench_init(&b);
    edge_model_read_servers(
        &b.model,
        STR("1\n# be_id be_name ...\n"
            "3 e17a 1 r1.1 10.213.0.1 2 0 100 100 1 1 0 1 6 0 0 0 - 80 - 0 0 - - 0\n"
            "3 e17a 2 r0.9 10.213.0.3 2 8 100 100 1 1 0 1 6 0 0 0 - 80 - 0 0 - - 0\n"
            "9 e18a 1 r5.1 10.213.0.5 2 0 100 100 1 1 0 1 6 0 0 0 - 80 - 0 0 - - 0\n"
            "9 platform_api 1 api 127.0.0.1 2 0 1 1 1 1 0 1 6 0 0 0 - 7000 - 0 0 - - 0\n\n"));
    edge_model_read_map(&b.model.hosts,
                        STR("0x5 slipway.localhost slipway\n0x1 evil.com gone.dev\n"));
    edge_model_read_map(&b.model.routes,
                        STR("0x2 shop.dev e17b|e17a|0\n0x3 gone.dev e18a|e18b|0\n"));
    edge_table_put(&t, state("a", 0, ONE, ""));
    OK(edge_plan_all(&b.plan, &t));
    IS_STR(b.commands.text.data, "set map R shop.dev e17a|e17b|0|0|0\n"
                                 "add map H shop.dev.localhost shop.dev\n"
                                 "del map H evil.com\n"
                                 "del map R gone.dev\n");
    OK(edge_model_server(&b.model, 17, EDGE_SLOT_A, "r0.9")->gone);
    OK(edge_model_server(&b.model, 18, EDGE_SLOT_A, "r5.1")->gone);
    OK(!edge_model_server(&b.model, 17, EDGE_SLOT_A, "r1.1")->gone);
    IS_INT(b.model.servers.count, 3);
    edge_table_done(&t);
    bench_done(&b);
}

TEST(tells_answers_apart)
{
    OK(edge_answer_is(EDGE_ANSWER_NONE, STR("")));
    OK(edge_answer_is(EDGE_ANSWER_NONE, STR("\n")));
    OK(!edge_answer_is(EDGE_ANSWER_NONE, STR("No such server.\n")));
    OK(edge_answer_is(EDGE_ANSWER_ADDED, STR("New server registered.\n")));
    OK(!edge_answer_is(EDGE_ANSWER_ADDED, STR("Already exists a server with the same name\n")));
    OK(edge_answer_is(EDGE_ANSWER_DELETED, STR("Server deleted.")));
    OK(edge_answer_is(EDGE_ANSWER_CHANGED, STR("IP changed from '127.0.0.1' to '127.0.0.2'\n")));
}

TAP_MAIN()
