/* Which way leads to a place: its own address, a proxy, or none. */
#include "base/json.h"
#include "base/tap.h"
#include "courier/outside.h"

TAP_MAIN()

#define PROXY "http://proxy.example:3128"

static struct settings settings;

static void set(const char *proxy, const char *direct, const char *networks)
{
    settings = (struct settings){.forge_proxy = (char *)(uintptr_t)proxy,
                                 .no_proxy = (char *)(uintptr_t)direct,
                                 .forge_networks = (char *)(uintptr_t)networks,
                                 .subnet = (char *)(uintptr_t) "10.213.0.0/16"};
    outside_setup(&settings);
}

/* "direct ADDRESS", "proxy" or the error's name. */
static const char *way(const char *url, bool inside)
{
    static char text[128];
    struct err err = ERR_INIT;
    AUTO_OUTSIDE o = {0};
    AUTO_JSON *remote = json_object();
    json_put_text(remote, "url", url);
    json_put_bool(remote, "inside", inside);
    if (outside_open(remote, -1, &o, &err) < 0)
        return err_name(err.kind);
    if (*o.proxy) {
        OK(text_is(o.proxy, PROXY) && outside_pin(&o) == NULL);
        return "proxy";
    }
    (void)snprintf(text, sizeof(text), "direct %s", o.address);
    return text;
}

TEST(without_a_proxy_what_is_public_is_gone_to_and_what_is_private_when_somebody_said_so)
{
    set("", "", "");
    IS_STR(way("https://198.51.100.7/a", false), "direct 198.51.100.7");
    IS_STR(way("https://10.1.2.3/a", true), "direct 10.1.2.3");
    IS_STR(way("https://10.1.2.3/a", false), "address_forbidden");
    IS_STR(way("https://10.213.0.3/a", true), "address_forbidden");
    IS_STR(way("https://127.0.0.1/a", true), "address_forbidden");
}

TEST(a_proxy_leads_to_public_addresses_alone)
{
    set(PROXY, "", "127.0.0.0/8, 198.51.100.9");
    IS_STR(way("https://198.51.100.7/a", false), "proxy");
    IS_STR(way("http://198.51.100.7:3000/a", true), "proxy");
    IS_STR(way("ssh://git@198.51.100.7/a", true), "direct 198.51.100.7");
    IS_STR(way("https://10.1.2.3/a", true), "direct 10.1.2.3");
    IS_STR(way("https://198.51.100.9/a", false), "direct 198.51.100.9"); /* a network of ours */
    IS_STR(way("https://127.0.0.1/a", true), "direct 127.0.0.1");
}

TEST(a_proxy_is_no_way_around_what_is_forbidden)
{
    set(PROXY, "", "");
    IS_STR(way("https://127.0.0.1/a", true), "address_forbidden");
    IS_STR(way("https://169.254.169.254/a", true), "address_forbidden");
    IS_STR(way("https://10.1.2.3/a", false), "address_forbidden");
}

TEST(a_name_that_only_the_proxy_knows_is_one_of_a_forge_that_was_entered)
{
    set(PROXY, "", "");
    IS_STR(way("https://forge.invalid/a", true), "proxy");
    IS_STR(way("https://forge.invalid/a", false), "unavailable");
    IS_STR(way("ssh://git@forge.invalid/a", true), "unavailable");
    set("", "", "");
    IS_STR(way("https://forge.invalid/a", true), "unavailable");
}

TEST(hosts_that_go_without_it)
{
    set(PROXY, "localhost, .corp.example,198.51.100.7, *.other.example", "");
    IS_STR(way("https://198.51.100.7/a", false), "direct 198.51.100.7");
    IS_STR(way("https://198.51.100.70/a", false), "proxy");
    IS_STR(way("https://git.corp.example.invalid/a", true), "proxy");
    set(PROXY, "invalid", "");
    IS_STR(way("https://forge.invalid/a", true), "unavailable");
    IS_STR(way("https://FORGE.INVALID/a", true), "unavailable");
    IS_STR(way("https://198.51.100.7/a", true), "proxy");
    set(PROXY, "orge.invalid", "");
    IS_STR(way("https://forge.invalid/a", true), "proxy"); /* a part of a word is none */
    set(PROXY, "*", "");
    IS_STR(way("https://198.51.100.7/a", false), "direct 198.51.100.7");
}
