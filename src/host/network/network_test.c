/* Addresses, resolvers, the firewall's text: no root needed. */
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "host/network/network_priv.h"

TEST(addresses_go_round_and_come_back)
{
    struct err err = ERR_INIT;
    struct pool p;
    uint32_t address, first;
    OK(pool_init(&p, "10.1.2.0/28", &err) == 0);
    IS_INT(pool_gateway(&p), 0x0a010201);
    for (uint32_t want = 2; want < 8; want++)
        OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) == 0 && address == 0x0a010200 + want);
    OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) < 0 && err.kind == E_TOO_MANY);
    OK(pool_take(&p, NETWORK_CLOSED, &first, &err) == 0 && first == 0x0a010208);
    pool_release(&p, 0x0a010203);
    pool_release(&p, 0x0a010205);
    OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) == 0 && address == 0x0a010203);
    pool_release(&p, address);
    OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) == 0 && address == 0x0a010205); /* rests */
    pool_done(&p);
}

TEST(recorded_addresses_are_claimed_once)
{
    struct err err = ERR_INIT;
    struct pool p;
    OK(pool_init(&p, "10.1.2.0/24", &err) == 0);
    OK(pool_claim(&p, 0x0a010207, &err) == 0);
    OK(pool_claim(&p, 0x0a010207, &err) < 0 && err.kind == E_EXISTS);
    OK(pool_claim(&p, 0x0a010201, &err) < 0 && err.kind == E_OUT_OF_RANGE); /* the bridge's */
    OK(pool_claim(&p, 0x0a0102ff, &err) < 0);                               /* broadcast */
    OK(pool_claim(&p, 0x0a010300, &err) < 0);
    pool_done(&p);
}

TEST(subnets_are_checked)
{
    static const char *const bad[] = {"",     "10.0.0.0",   "10.0.0.1/24", "10.0.0.0/29",
                                      "x/24", "10.0.0.0/7", "10.0.0.0/24x"};
    struct pool p;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = ERR_INIT;
        OK(pool_init(&p, bad[i], &err) < 0 && err.kind == E_CONFIG_INVALID);
    }
}

TEST(only_real_resolvers_are_taken)
{
    uint32_t servers[4];
    static const char text[] = "# x\nnameserver 127.0.0.53\nsearch a\nnameserver 10.255.255.53\n"
                               "nameserver\t1.2.3.4\nnameserver fe80::1\noptions x";
    IS_INT(resolv_servers(STR(text), servers, 4), 2);
    IS_INT(servers[0], 0x0affff35);
    IS_INT(servers[1], 0x01020304);
    IS_INT(resolv_servers(STR("nameserver 1.2.3.4"), servers, 4), 1);
}

TEST(the_script_names_what_it_must)
{
    struct pool p;
    struct err err = ERR_INIT;
    char closed[NETWORK_TEXT + 3];
    AUTO_BUF out = BUF_INIT(0);
    OK(pool_init(&p, "10.213.0.0/16", &err) == 0);
    pool_closed_half(&p, closed);
    IS_STR(closed, "10.213.128.0/17");
    struct filter f = {.table = "slipway",
                       .bridge = "slipway0",
                       .subnet = "10.213.0.0/16",
                       .closed = closed,
                       .resolvers = {0x0affff35, 0x01020304},
                       .resolver_count = 2,
                       .users = {0, 991},
                       .user_count = 2};
    filter_script(&f, &out);
    OK(strstr(out.data, "elements = { 10.255.255.53, 1.2.3.4 }") != NULL);
    OK(strstr(out.data, "type uid; elements = { 0, 991 }") != NULL);
    OK(strstr(out.data, "ip saddr 10.213.128.0/17 drop") != NULL);
    OK(strstr(out.data, "169.254.0.0/16") != NULL);
    OK(strstr(out.data, "iifname \"slipway0\" drop") != NULL);
    pool_done(&p);
}

TEST(foreign_drops_are_found)
{
    static const char text[] =
        "{\"nftables\":[{\"metainfo\":{}},"
        "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"FORWARD\","
        "\"hook\":\"forward\",\"policy\":\"drop\"}},"
        "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"OUTPUT\","
        "\"hook\":\"output\",\"policy\":\"drop\"}},"
        "{\"chain\":{\"family\":\"inet\",\"table\":\"slipway\",\"name\":\"forward\","
        "\"hook\":\"forward\",\"policy\":\"drop\"}},"
        "{\"rule\":{}}]}";
    struct err err = ERR_INIT;
    AUTO_JSON *ruleset = NULL;
    AUTO_BUF names = BUF_INIT(0);
    OK(json_parse(STR(text), &ruleset, &err) == 0);
    IS_INT(filter_foreign(ruleset, "slipway", &names), 1);
    IS_STR(names.data, "ip filter FORWARD");
}

TAP_MAIN()
