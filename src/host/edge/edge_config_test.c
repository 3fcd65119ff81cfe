#include "host/edge/edge_config.h"
#include "base/tap.h"
#include "host/edge/edge_sm.h"

static struct settings settings = {.data_dir = (char *)"/d",
                                   .run_dir = (char *)"/r",
                                   .api_listen = (char *)"127.0.0.1:7000",
                                   .edge_http = 80,
                                   .edge_https = 443,
                                   .edge_address = (char *)"*"};

static char *printed(const struct edge_table *t,
                     void (*print)(const struct edge_config *, struct buf *))
{
    struct edge_paths paths;
    struct buf out = BUF_INIT(0);
    edge_paths_init(&paths, &settings);
    struct edge_config config = {&settings, &paths, t, "slipway.localhost", 3, 8000, true};
    print(&config, &out);
    edge_paths_done(&paths);
    return buf_take(&out);
}

static void add(struct edge_table *t, int64_t id, const char *name)
{
    static const struct edge_limits limits = {"10.213.0.0/16", "slipway.localhost"};
    struct edge_key key = {name, id, 1};
    struct err err = ERR_INIT;
    struct edge_app_env *e = NULL;
    AUTO_FREE char *domain = mem_format("%s.localhost", name);
    AUTO_JSON *state =
        json_pack("{s:[s],s:s,s:{s:[{s:s,s:s,s:i}]}}", "domains", domain, "live", "a", "slots", "a",
                  "name", "r1.1", "address", "10.213.0.1", "port", 80);
    OK(edge_app_env_parse(&limits, &key, state, &e, &err) == 0);
    edge_table_put(t, e);
}

TEST(makes_backends_ahead)
{
    struct edge_table t = {0};
    IS_INT(edge_config_top(&t), 64);
    add(&t, 63, "shop.dev");
    IS_INT(edge_config_top(&t), 64);
    add(&t, 64, "shop.test");
    IS_INT(edge_config_top(&t), 128);
    AUTO_FREE char *text = printed(&t, edge_config_print);
    OK(strstr(text, "backend e63a from app\n  server r1.1 10.213.0.1:80 weight 100 check"));
    OK(strstr(text, "backend e128b from app\n"));
    OK(!strstr(text, "backend e129a"));
    OK(strstr(text, "bind :::80 v4v6\n"));
    OK(strstr(text, "bind :::443 v4v6 ssl crt-list /r/edge/conf/crt-list.txt alpn h2,http/1.1\n"));
    edge_table_done(&t);
}

TEST(makes_no_backends_for_what_was_removed)
{
    struct edge_table t = {0};
    struct edge_key key = {"old.dev", 2, 5};
    edge_table_put(&t, edge_app_env_removed(&key));
    add(&t, 3, "shop.dev");
    AUTO_FREE char *text = printed(&t, edge_config_print);
    OK(!strstr(text, "backend e2a"));
    OK(strstr(text, "backend e1a") && strstr(text, "backend e3a"));
    AUTO_FREE char *hosts = printed(&t, edge_config_print_hosts);
    IS_STR(hosts, "slipway.localhost slipway\nshop.dev.localhost shop.dev\n");
    AUTO_FREE char *routes = printed(&t, edge_config_print_routes);
    IS_STR(routes, "shop.dev e3a|e3b|0|0|0\n");
    edge_table_done(&t);
}

TEST(guards_the_platform_without_tls)
{
    struct edge_table t = {0};
    AUTO_FREE char *text = printed(&t, edge_config_print);
    OK(strstr(text, "location https://slipway.localhost:443%[capture.req.uri] if platform"));
    settings.edge_https = 0;
    AUTO_FREE char *without = printed(&t, edge_config_print);
    OK(strstr(without, "status 403") && !strstr(without, "location https"));
    settings.insecure_http = true;
    AUTO_FREE char *open = printed(&t, edge_config_print);
    OK(!strstr(open, "status 403"));
    settings.insecure_http = false;
    settings.edge_https = 443;
}

TEST(has_a_sound_table_of_states)
{
    struct err err = ERR_INIT;
    OK(sm_check(&edge_sm, &err) == 0);
}

TAP_MAIN()
