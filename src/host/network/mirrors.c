/* Where builds may go although it is inside: the mirrors and the proxy of the settings, each as
 * address and port, in a set of our nftables table.
 *
 * Addresses that stand in the URLs are in the set from the first moment. Names are looked up on the
 * thread pool when the host starts and every minute after; a name that cannot be looked up keeps
 * the addresses that it had. Only the ports of the URLs are opened, only for builds and for the
 * package steps of their bases (they have a part of the subnet for themselves), and never loopback,
 * link-local (cloud metadata) or the containers' own network. */
#include <arpa/inet.h>
#include <netdb.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/network/network_priv.h"
#include "io/loop.h"

#define AGAIN_MS 60000

static struct {
    struct mirrors mirrors;
    const struct filter *filter;
    const struct pool *pool;
    struct timer *timer;
    bool busy;
} watch;

/* "https://user:word@host:8443/path" -> "host", 8443. False for anything without an IPv4 host. */
bool mirror_parse(const char *url, struct mirror *ret_mirror)
{
    bool tls = text_starts(url, "https://");
    const char *begin = strstr(url, "://");
    int64_t port = tls ? 443 : 80;
    struct err ignored = ERR_INIT;
    if (!begin)
        return false;
    struct str rest = str_of(begin + 3), authority = str_cut(&rest, '/');
    authority = str_cut(&authority, ','); /* GOPROXY: a list */
    const char *at = authority.length ? memrchr(authority.data, '@', authority.length) : NULL;
    if (at)
        authority = (struct str){at + 1, authority.length - (size_t)(at + 1 - authority.data)};
    struct str digits = authority, host = str_cut(&digits, ':');
    if (host.length == 0 || host.length >= sizeof(ret_mirror->host) || host.data[0] == '[' ||
        (digits.data && str_to_int(digits, 1, 65535, "port", &port, &ignored) < 0))
        return false;
    *ret_mirror = (struct mirror){.port = (uint16_t)port};
    memcpy(ret_mirror->host, host.data, host.length);
    return true;
}

static bool within(uint32_t address, uint32_t network, int bits)
{
    return (address ^ network) >> (32 - bits) == 0;
}

/* What no mirror can be: loopback, this network's "all", link-local, multicast, the containers. */
bool mirror_address_ok(const struct pool *p, uint32_t address)
{
    return !within(address, 0, 8) && !within(address, 0x7f000000, 8) &&
           !within(address, 0xa9fe0000, 16) && !within(address, 0xe0000000, 3) &&
           !within(address, p->first, p->prefix);
}

static void add_address(struct mirror *m, const struct pool *p, uint32_t address)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->addresses[i] == address)
            return;
    if (m->count < ARRAY_SIZE(m->addresses) && mirror_address_ok(p, address))
        m->addresses[m->count++] = address;
}

void mirrors_init(struct mirrors *list, const struct settings *s, const struct pool *p)
{
    const char *const urls[] = {s->http_proxy, s->npm_registry, s->debian_mirror, s->pip_index,
                                s->go_proxy,   s->maven_mirror, s->cargo_index};
    *list = (struct mirrors){0};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct mirror *m = &list->items[list->count];
        struct err ignored = ERR_INIT;
        uint32_t address;
        if (!urls[i] || !mirror_parse(urls[i], m))
            continue;
        list->count++;
        m->literal = network_parse(m->host, &address, &ignored) == 0;
        if (m->literal)
            add_address(m, p, address);
        if (m->literal && m->count == 0)
            log_warn("builds cannot be let to this mirror: it is loopback, link-local or of the "
                     "containers' own network",
                     F_STR("host", m->host));
    }
}

/* { 10.0.0.5 . 4873, ... }: each once; nothing at all when there is none. */
void mirrors_elements(const struct mirrors *list, struct buf *out)
{
    AUTO_BUF seen = BUF_INIT(0);
    char text[NETWORK_TEXT];
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < list->items[i].count; k++) {
            network_text(list->items[i].addresses[k], text);
            AUTO_FREE char *one = mem_format(" %s . %u ", text, (unsigned)list->items[i].port);
            if (seen.data && strstr(seen.data, one))
                continue;
            (void)buf_add_text(&seen, one); /* no ceiling */
            (void)buf_add_format(out, "%s%s", count++ ? "," : "{", one);
        }
    if (count)
        (void)buf_add_text(out, "}");
}

/* ---- names ---- */

static void look_up(struct mirror *m, const struct pool *p)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int result = getaddrinfo(m->host, NULL, &hints, &found);
    m->failed = result != 0;
    if (result != 0)
        return; /* told by looked_up, on the loop */
    m->count = 0;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        add_address(m, p,
                    ntohl(((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr.s_addr));
    freeaddrinfo(found);
}

struct lookup {
    struct mirrors mirrors;
    struct pool pool; /* its numbers: nobody takes an address from it */
};

static void look_up_all(void *context)
{
    struct lookup *l = context;
    for (size_t i = 0; i < l->mirrors.count; i++)
        if (!l->mirrors.items[i].literal)
            look_up(&l->mirrors.items[i], &l->pool);
}

static bool same_addresses(const struct mirrors *a, const struct mirrors *b)
{
    AUTO_BUF one = BUF_INIT(0);
    AUTO_BUF other = BUF_INIT(0);
    mirrors_elements(a, &one);
    mirrors_elements(b, &other);
    return str_equal(buf_str(&one), buf_str(&other));
}

static int replace(struct err *err)
{
    static const char *const argv[] = {NFT, "-f", "-", NULL};
    AUTO_BUF script = BUF_INIT(0);
    AUTO_BUF elements = BUF_INIT(0);
    AUTO_BUF out = BUF_INIT(1u << 20);
    const char *table = watch.filter->table;
    mirrors_elements(&watch.mirrors, &elements);
    (void)buf_add_format(&script, "flush set inet %s mirrors\n", table); /* no ceiling */
    if (elements.length)
        (void)buf_add_format(&script, "add element inet %s mirrors %s\n", table, elements.data);
    return filter_nft(argv, buf_str(&script), &out, err);
}

static void looked_up(void *context)
{
    struct lookup *l = context;
    struct err err = ERR_INIT;
    bool changed = !same_addresses(&watch.mirrors, &l->mirrors);
    for (size_t i = 0; i < l->mirrors.count; i++)
        if (l->mirrors.items[i].failed && !watch.mirrors.items[i].failed)
            log_warn("a mirror's name cannot be looked up, builds keep the addresses it had",
                     F_STR("host", l->mirrors.items[i].host));
    watch.mirrors = l->mirrors;
    watch.busy = false;
    if (changed && replace(&err) < 0) {
        log_warn("builds cannot be let to the mirrors, trying again in a minute", F_ERR(&err));
        for (size_t i = 0; i < watch.mirrors.count; i++)
            watch.mirrors.items[i].count =
                watch.mirrors.items[i].literal ? watch.mirrors.items[i].count : 0;
    }
    free(l);
}

void mirrors_put(void)
{
    struct err err = ERR_INIT;
    if (watch.filter && replace(&err) < 0)
        log_warn("builds cannot be let to the mirrors, trying again in a minute", F_ERR(&err));
}

static void again(void *context)
{
    (void)context;
    if (watch.busy)
        return;
    struct lookup *l = mem_alloc(sizeof(*l));
    l->mirrors = watch.mirrors;
    l->pool = *watch.pool;
    watch.busy = true;
    loop_work(look_up_all, looked_up, l);
}

void mirrors_watch(const struct mirrors *list, const struct filter *filter, const struct pool *pool)
{
    bool names = false;
    watch.mirrors = *list;
    watch.filter = filter;
    watch.pool = pool;
    for (size_t i = 0; i < list->count; i++)
        names = names || !list->items[i].literal;
    if (!names)
        return;
    again(NULL);
    timer_start(&watch.timer, AGAIN_MS, AGAIN_MS, again, NULL);
}
