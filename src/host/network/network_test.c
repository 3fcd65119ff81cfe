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
    for (uint32_t want = 2; want < 6; want++)
        OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) == 0 && address == 0x0a010200 + want);
    OK(pool_take(&p, NETWORK_OUTSIDE, &address, &err) < 0 && err.kind == E_TOO_MANY);
    OK(pool_take(&p, NETWORK_CLOSED, &first, &err) == 0 && first == 0x0a010208);
    OK(pool_take(&p, NETWORK_BUILD, &first, &err) == 0 && first == 0x0a010206);
    OK(pool_take(&p, NETWORK_BUILD, &first, &err) == 0 && first == 0x0a010207);
    OK(pool_take(&p, NETWORK_BUILD, &first, &err) < 0);
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
    char builds[NETWORK_TEXT + 3];
    pool_builds(&p, builds);
    IS_STR(builds, "10.213.96.0/19");
    struct settings s = {.npm_registry = (char *)"http://192.168.7.5:4873/npm/",
                         .debian_mirror = (char *)"http://10.1.1.1/debian",
                         .pip_index = (char *)"https://10.1.1.1/simple",
                         .go_proxy = (char *)"http://169.254.169.254/",
                         .maven_mirror = (char *)"http://10.213.0.9/",
                         .cargo_index = (char *)"http://10.1.1.1:80/index/"};
    struct mirrors mirrors;
    mirrors_init(&mirrors, &s, &p);
    struct filter f = {.builds = builds,
                       .mirrors = &mirrors,
                       .table = "slipway",
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
    OK(strstr(out.data, "set mirrors { type ipv4_addr . inet_service; elements = { 192.168.7.5 . "
                        "4873 , 10.1.1.1 . 80 , 10.1.1.1 . 443 } }") != NULL);
    OK(strstr(out.data, "ip saddr 10.213.96.0/19 ip daddr . tcp dport @mirrors accept\n"
                        "  ip daddr @inside drop") != NULL);
    pool_done(&p);
}

TEST(a_mirror_is_a_host_and_a_port)
{
    struct mirror m;
    OK(mirror_parse("https://npm.corp.example/x:9", &m));
    IS_STR(m.host, "npm.corp.example");
    IS_INT(m.port, 443);
    OK(mirror_parse("http://me:w@rd@proxy:3128", &m));
    IS_STR(m.host, "proxy");
    IS_INT(m.port, 3128);
    OK(mirror_parse("http://10.0.0.1", &m) && m.port == 80);
    OK(mirror_parse("https://goproxy.example,direct", &m));
    IS_STR(m.host, "goproxy.example");
    OK(!mirror_parse("", &m) && !mirror_parse("http://[fd00::1]/", &m));
    OK(!mirror_parse("http://a:0/", &m) && !mirror_parse("http:///x", &m));
}

/* Where this rule stands in the chain, from its start; 0 when it is not in it. */
static size_t rule_at(const char *script, const char *chain, const char *rule)
{
    AUTO_FREE char *head = mem_format(" chain %s {", chain);
    const char *start = strstr(script, head);
    const char *end = start ? strstr(start, "\n }\n") : NULL;
    const char *found = start ? strstr(start, rule) : NULL;
    return found && found < end ? (size_t)(found - start) : 0;
}

/* In a chain the first verdict counts: each pair must stand in this order. */
TEST(what_is_dropped_is_dropped_before_the_rest_is_accepted)
{
    static const struct {
        const char *chain, *first, *then;
    } rows[] = {
        {"from_containers", "oifname \"slipway0\" drop", "established,related accept"},
        {"from_containers", "ip saddr != 10.213.0.0/16 drop", "established,related accept"},
        {"from_containers", "ip saddr 10.213.128.0/17 drop", "ip daddr @resolvers"},
        {"from_containers", "ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept",
         "ip daddr @inside drop"},
        {"from_containers", "ip daddr @inside drop", "\n  accept"},
        {"from_containers", "meta nfproto ipv6 drop", "\n  accept"},
        {"forward", "iifname \"slipway0\" jump from_containers", "oifname \"slipway0\" drop"},
        {"forward", "oifname \"slipway0\" ct state established,related accept",
         "oifname \"slipway0\" drop"},
        {"input", "iifname \"slipway0\" ct state established,related accept",
         "iifname \"slipway0\" drop"},
        {"output", "hook output", "oifname \"slipway0\" ct state new meta skuid != @users drop"},
    };
    AUTO_BUF out = BUF_INIT(0);
    struct filter f = {.table = "slipway",
                       .bridge = "slipway0",
                       .subnet = "10.213.0.0/16",
                       .closed = "10.213.128.0/17",
                       .resolvers = {0x0affff35},
                       .resolver_count = 1};
    filter_script(&f, &out);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t first = rule_at(out.data, rows[i].chain, rows[i].first);
        size_t then = rule_at(out.data, rows[i].chain, rows[i].then);
        if (!OK(first > 0 && then > first))
            IS_STR(rows[i].first, rows[i].then);
    }
    static const char *const never[] = {"127.0.0.0/8",   "10.0.0.0/8",     "169.254.0.0/16",
                                        "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"};
    const char *set = strstr(out.data, "set inside");
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        OK(set && strstr(set, never[i]) && strstr(set, never[i]) < strstr(set, "\n"));
}

#define OURS "\"table\":\"f\",\"family\":\"inet\",\"chain\":"
#define META(key, op, name)                                                                        \
    "{\"match\":{\"op\":\"" op "\",\"left\":{\"meta\":{\"key\":\"" key "\"}},\"right\":" name "}}"
#define FIELD(protocol, field, right)                                                              \
    "{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"" protocol                    \
    "\",\"field\":\"" field "\"}},\"right\":" right "}}"
#define STATE(right)                                                                               \
    "{\"match\":{\"op\":\"in\",\"left\":{\"ct\":{\"key\":\"state\"}},\"right\":" right "}}"
#define DROP "{\"counter\":null},{\"drop\":null}"

/* What is said of one foreign chain with these rules. */
static const char *judged(const char *hook, const char *policy, const char *const *rules)
{
    static char said[512];
    struct err err = ERR_INIT;
    AUTO_JSON *ruleset = NULL;
    AUTO_BUF out = BUF_INIT(0);
    AUTO_BUF text = BUF_INIT(0);
    const struct foreign_ours ours = {"slipway", "slipway0", 0x0ad50000, 65536, 80, 443};
    (void)buf_add_format(&text,
                         "{\"nftables\":[{\"chain\":{\"family\":\"inet\",\"table\":\"f\","
                         "\"name\":\"c\",\"hook\":\"%s\",\"policy\":\"%s\"}}",
                         hook, policy);
    for (int i = 0; rules[i]; i++)
        (void)buf_add_format(&text, ",{\"rule\":{\"handle\":%d," OURS "%s,\"expr\":[%s]}}", i + 1,
                             rules[i][0] == '>' ? "\"side\"" : "\"c\"",
                             rules[i] + (rules[i][0] == '>'));
    (void)buf_add_text(&text, "]}");
    OK(json_parse(buf_str(&text), &ruleset, &err) == 0);
    size_t count = foreign_drops(ruleset, &ours, &out);
    OK(count == (out.length ? 1u : 0u));
    (void)snprintf(said, sizeof(said), "%s", out.data ? out.data : "");
    return said;
}
#define JUDGED(hook, policy, ...) judged(hook, policy, (const char *const[]){__VA_ARGS__, NULL})

TEST(a_foreign_policy_is_found_until_we_are_let_through)
{
    static const char out[] = META("iifname", "==", "\"slipway0\"") ",{\"accept\":null}";
    static const char in[] = META("oifname", "==", "\"slipway0\"") ",{\"accept\":null}";
    IS_STR(JUDGED("forward", "drop", NULL), "inet f c (its policy drops what containers send)");
    IS_STR(JUDGED("output", "drop", NULL), "");
    IS_STR(JUDGED("forward", "drop", out),
           "inet f c (its policy drops what is sent to containers)");
    IS_STR(JUDGED("forward", "drop", out, in), "");
    IS_STR(JUDGED("forward", "drop", "{\"jump\":{\"target\":\"side\"}}",
                  ">" META("iifname", "==", "\"slip*\"") ",{\"accept\":null}", in),
           "");
}

TEST(a_foreign_rule_that_drops_us_is_found)
{
    static const char state[] = STATE("[\"established\",\"related\"]") ",{\"accept\":null}";
    IS_STR(JUDGED("forward", "accept", DROP),
           "inet f c (the rule with handle 1 drops what containers send)");
    IS_STR(JUDGED("forward", "accept", META("iifname", "==", "\"slipway0\"") "," DROP),
           "inet f c (the rule with handle 1 drops what containers send)");
    IS_STR(JUDGED("forward", "accept", state,
                  FIELD("ip", "saddr",
                        "{\"prefix\":{\"addr\":\"10.0.0.0\",\"len\":8}}") ","
                                                                          "{\"reject\":{\"type\":"
                                                                          "\"icmp\"}}"),
           "inet f c (the rule with handle 2 drops what containers send)");
    IS_STR(JUDGED("input", "accept",
                  META("iifname", "==", "\"eth0\"") "," FIELD("tcp", "dport", "80") "," DROP),
           "inet f c (the rule with handle 1 drops requests to the edge)");
    IS_STR(JUDGED("input", "accept", FIELD("tcp", "dport", "{\"set\":[22,443]}") "," DROP),
           "inet f c (the rule with handle 1 drops TLS requests to the edge)");
    IS_STR(JUDGED("input", "accept", FIELD("tcp", "dport", "{\"range\":[1,1023]}") "," DROP),
           "inet f c (the rule with handle 1 drops requests to the edge)");
}

TEST(foreign_rules_that_do_not_meet_us_are_not_named)
{
    IS_STR(JUDGED("forward", "accept", META("iifname", "==", "\"docker0\"") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", META("iifname", "==", "\"slipway9\"") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", STATE("[\"invalid\"]") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", FIELD("ip", "saddr", "\"192.168.1.1\"") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", FIELD("ip", "daddr", "\"192.168.1.1\"") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", FIELD("udp", "dport", "53") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", META("nfproto", "==", "\"ipv6\"") "," DROP), "");
    IS_STR(JUDGED("forward", "accept", "{\"limit\":{\"rate\":1}}," DROP), "");
    IS_STR(JUDGED("input", "accept", META("iifname", "==", "\"lo\"") ",{\"accept\":null}",
                  FIELD("tcp", "dport", "22") "," DROP),
           "");
    IS_STR(JUDGED("input", "accept", META("iifname", "==", "\"eth1\"") "," DROP), "");
}

TAP_MAIN()
