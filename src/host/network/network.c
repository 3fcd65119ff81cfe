/* Bridge, veth and the doctor of the containers' network: see network.h for the idea.
 *
 * Configuring eth0 inside needs a netlink socket of that namespace: the loop thread enters it,
 * opens the socket and comes back (network namespaces belong to threads); a socket keeps the
 * namespace it was made in. If coming back fails we cannot go on and panic. */
#include "host/network/network.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/network/network_priv.h"
#include "wire/doctor.h"

#define NOBODY 65534
#define RESOLV "/etc/resolv.conf"
#define RESOLV_SYSTEMD "/run/systemd/resolve/resolv.conf" /* when RESOLV names the stub */
#define FORWARD "/proc/sys/net/ipv4/ip_forward"

static struct {
    const struct settings *settings;
    struct pool pool;
    char bridge[16];
    unsigned bridge_index;
    uint32_t mtu;
    int socket;  /* netlink of our own namespace */
    int home;    /* our own namespace */
    unsigned id; /* of the next veth */
    char *resolv;
    struct filter filter;
    char closed[NETWORK_TEXT + 3];
    char builds[NETWORK_TEXT + 3];
    struct mirrors mirrors;
} net = {.socket = -1, .home = -1};

int network_take(enum network_reach reach, uint32_t *ret_address, struct err *err)
{
    CHECK_LOOP();
    return pool_take(&net.pool, reach, ret_address, err);
}

int network_claim(uint32_t address, struct err *err)
{
    return pool_claim(&net.pool, address, err);
}

void network_release(uint32_t address)
{
    pool_release(&net.pool, address);
}

const char *network_resolv_path(void)
{
    return net.resolv;
}

/* Setting up. */

static int kernel_write(const char *path, const char *text, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t length = strlen(text);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

static bool kernel_reads(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    AUTO_BUF content = BUF_INIT(64);
    return file_read(path, 64, &content, &err) == 0 && str_starts(buf_str(&content), text);
}

/* The MTU of the way out, so that packets need no splitting there; 1500 when there is none. */
static uint32_t outside_mtu(void)
{
    struct err err = ERR_INIT;
    AUTO_BUF routes = BUF_INIT(1u << 20);
    AUTO_BUF text = BUF_INIT(64);
    int64_t mtu;
    if (file_read("/proc/net/route", 1u << 20, &routes, &err) < 0)
        return 1500;
    for (struct str rest = buf_str(&routes), line; rest.data;) {
        line = str_cut(&rest, '\n');
        struct str device = str_trim(str_cut(&line, '\t'));
        if (!str_starts(line, "00000000\t"))
            continue;
        AUTO_FREE char *path =
            mem_format("/sys/class/net/%.*s/mtu", (int)device.length, device.data);
        if (file_read(path, 64, &text, &err) == 0) {
            struct str digits = buf_str(&text);
            if (str_to_int(str_cut(&digits, '\n'), 576, 65535, "mtu", &mtu, &err) == 0)
                return (uint32_t)mtu;
        }
    }
    return 1500;
}

/* 02:53 ("S"), then the address: a container that starts anew is found at once by old neighbour
 * entries. */
static void address_mac(uint32_t address, uint8_t ret_mac[6])
{
    ret_mac[0] = 0x02;
    ret_mac[1] = 0x53;
    for (int i = 0; i < 4; i++)
        ret_mac[2 + i] = (uint8_t)(address >> (24 - 8 * i));
}

static int bridge_setup(struct err *err)
{
    uint8_t mac[6];
    uint32_t gateway = pool_gateway(&net.pool);
    AUTO_FREE char *ipv6 = mem_format("/proc/sys/net/ipv6/conf/%s/disable_ipv6", net.bridge);
    address_mac(gateway, mac);
    if (link_bridge(net.socket, net.bridge, mac, net.mtu, err) < 0 ||
        link_index(net.socket, net.bridge, &net.bridge_index, err) < 0)
        return -1;
    if (file_exists(ipv6) && kernel_write(ipv6, "1", err) < 0)
        return -1;
    if (link_address(net.socket, net.bridge_index, gateway, net.pool.prefix, err) < 0)
        return err_wrap(err, "bridge '%s'", net.bridge);
    return link_set_up(net.socket, net.bridge_index, err);
}

/* Containers are routed to the outside, so the machine must forward. What may be forwarded from
 * and to containers stands in our table; the rest of the machine's forwarding is not ours. */
static int forward_setup(struct err *err)
{
    if (kernel_reads(FORWARD, "1"))
        return 0;
    log_info("turning on ip_forward: containers are routed to the outside");
    return kernel_write(FORWARD, "1", err);
}

/* The upstream resolvers of the machine: a stub on its loopback is of no use inside. */
static int resolv_setup(struct err *err)
{
    AUTO_BUF text = BUF_INIT(64u << 10);
    AUTO_BUF ours = BUF_INIT(64u << 10);
    struct filter *f = &net.filter;
    struct err ignored = ERR_INIT;
    static const char *const sources[] = {RESOLV, RESOLV_SYSTEMD};
    for (size_t i = 0; i < ARRAY_SIZE(sources) && f->resolver_count == 0; i++) {
        buf_clear(&text);
        if (file_read(sources[i], 64u << 10, &text, &ignored) == 0)
            f->resolver_count = resolv_servers(buf_str(&text), f->resolvers, FILTER_RESOLVERS);
    }
    if (f->resolver_count == 0)
        log_warn("no resolver found for containers, going on without DNS", F_STR("file", RESOLV));
    for (size_t i = 0; i < f->resolver_count; i++) {
        char address[NETWORK_TEXT];
        network_text(f->resolvers[i], address);
        buf_add_format(&ours, "nameserver %s\n", address);
    }
    buf_add_text(&ours, "options timeout:2 attempts:3\n");
    net.resolv = settings_run(net.settings, "resolv.conf");
    return file_write(net.resolv, buf_str(&ours), 0644, err);
}

static void filter_users(const struct settings *s)
{
    const char *const users[] = {s->user_core, s->user_courier, s->user_signals, s->user_edge};
    struct err ignored = ERR_INIT; /* a user that does not exist needs no leave */
    gid_t gid;
    net.filter.user_count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(users); i++)
        if (users[i] &&
            settings_uid(users[i], &net.filter.users[net.filter.user_count], &gid, &ignored) == 0)
            net.filter.user_count++;
        else if (users[i] == s->user_signals)
            net.filter.users[net.filter.user_count++] = NOBODY; /* what the probe runs as then */
}

int network_setup(const struct settings *settings, struct err *err)
{
    net.settings = settings;
    if (pool_init(&net.pool, settings->subnet, err) < 0)
        return -1;
    (void)snprintf(net.bridge, sizeof(net.bridge), "%.8s0", settings->id);
    pool_closed_half(&net.pool, net.closed);
    pool_builds(&net.pool, net.builds);
    mirrors_init(&net.mirrors, settings, &net.pool);
    net.mtu = outside_mtu();
    net.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (net.home < 0)
        return FAIL_SYS(err, "cannot open our own network namespace");
    net.socket = link_socket(err);
    if (net.socket < 0 || bridge_setup(err) < 0 || resolv_setup(err) < 0 || forward_setup(err) < 0)
        return -1;
    filter_users(settings);
    net.filter.table = settings->id;
    net.filter.bridge = net.bridge;
    net.filter.subnet = settings->subnet;
    net.filter.closed = net.closed;
    net.filter.builds = net.builds;
    net.filter.mirrors = &net.mirrors;
    if (filter_load(&net.filter, err) < 0 || guard_start(&net.filter, err) < 0)
        return -1;
    mirrors_watch(&net.mirrors, &net.filter, &net.pool);
    return 0;
}

void network_shutdown(void)
{
    guard_stop();
}

void network_teardown(const struct settings *settings)
{
    struct err err = ERR_INIT;
    AUTO_BUF out = BUF_INIT(1u << 20);
    AUTO_FREE char *script =
        mem_format("table inet %s\ndelete table inet %s\n", settings->id, settings->id);
    AUTO_FREE char *bridge = mem_format("%.8s0", settings->id);
    AUTO_CLOSE int fd = link_socket(&err);
    static const char *const argv[] = {NFT, "-f", "-", NULL};
    if (fd < 0 || link_delete(fd, bridge, &err) < 0 ||
        filter_nft(argv, str_of(script), &out, &err) < 0)
        log_warn("cannot take the network away, leaving it", F_ERR(&err));
}

/* Containers. */

static int socket_inside(pid_t pid, struct err *err)
{
    AUTO_FREE char *path = mem_format("/proc/%d/ns/net", (int)pid);
    AUTO_CLOSE int there = open(path, O_RDONLY | O_CLOEXEC);
    if (there < 0)
        return FAIL_SYS(err, "cannot open the network of process %d", (int)pid);
    if (setns(there, CLONE_NEWNET) < 0)
        return FAIL_SYS(err, "cannot enter the network of process %d", (int)pid);
    int fd = link_socket(err);
    if (setns(net.home, CLONE_NEWNET) < 0)
        PANIC("cannot come back to our own network namespace");
    return fd;
}

int network_attach_lo(pid_t pid, struct err *err)
{
    AUTO_CLOSE int inside = socket_inside(pid, err);
    return inside < 0 ? -1 : link_set_up(inside, 1, err);
}

static int veth_make(pid_t pid, uint32_t address, struct err *err)
{
    uint8_t mac[6];
    char name[16];
    address_mac(address, mac);
    for (int tries = 0; tries < 10000; tries++) { /* names of an earlier host process are passed */
        (void)snprintf(name, sizeof(name), "%.8s-%x", net.settings->id, net.id++ & 0xfffff);
        struct link_veth veth = {name, net.bridge_index, net.mtu, "eth0", pid, mac};
        int made = link_veth(net.socket, &veth, err);
        if (made != LINK_EXISTS)
            return made;
    }
    return FAIL(err, E_TOO_MANY, "no name is left for a veth");
}

static int neighbours_write(int inside, unsigned index, uint32_t address, struct err *err)
{
    uint8_t own[6];
    uint8_t gateway[6];
    address_mac(address, own);
    address_mac(pool_gateway(&net.pool), gateway);
    if (link_neighbour(net.socket, net.bridge_index, address, own, err) < 0)
        return -1;
    return link_neighbour(inside, index, pool_gateway(&net.pool), gateway, err);
}

int network_attach(pid_t pid, uint32_t address, struct err *err)
{
    unsigned index;
    CHECK_LOOP();
    ASSERT(pool_holds(&net.pool, address));
    FAULT("network.attach");
    AUTO_CLOSE int inside = socket_inside(pid, err);
    if (inside < 0 || link_set_up(inside, 1, err) < 0 || veth_make(pid, address, err) < 0)
        return -1;
    FAULT("network.attached");
    if (link_index(inside, "eth0", &index, err) < 0 ||
        link_address(inside, index, address, net.pool.prefix, err) < 0 ||
        link_set_up(inside, index, err) < 0 || neighbours_write(inside, index, address, err) < 0)
        return -1;
    return link_route_default(inside, index, pool_gateway(&net.pool), err);
}

size_t network_ports(void)
{
    size_t count = 0;
    AUTO_FREE char *path = mem_format("/sys/class/net/%s/brif", net.bridge);
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            count++;
    (void)closedir(folder);
    return count;
}

/* Doctor. */

static void doctor_foreign(json_t *checks)
{
    static const char *const argv[] = {NFT, "-j", "list", "ruleset", NULL};
    struct err err = ERR_INIT;
    AUTO_BUF out = BUF_INIT(8u << 20);
    AUTO_BUF names = BUF_INIT(0);
    AUTO_JSON *ruleset = NULL;
    if (filter_nft(argv, (struct str){"", 0}, &out, &err) < 0 ||
        json_parse(buf_str(&out), &ruleset, &err) < 0) {
        doctor_push(checks, "firewall", false, err.text, "is nftables installed and working?");
        return;
    }
    AUTO_FREE char *mark = mem_format("\"table\": \"%s\"", net.settings->id);
    bool ours = strstr(out.data, mark) != NULL;
    doctor_push(checks, "firewall table", ours,
                ours ? "loaded" : "the nftables table is gone: containers are not fenced",
                "restart the host role: it loads the table");
    const struct foreign_ours places = {net.settings->id,        net.bridge,
                                        net.pool.first,          net.pool.size,
                                        net.settings->edge_http, net.settings->edge_https};
    bool foreign = foreign_drops(ruleset, &places, &names) > 0;
    AUTO_FREE char *text =
        mem_format("another firewall drops our traffic: %s", names.data ? names.data : "");
    AUTO_FREE char *fix = mem_format(
        "let it pass there before it is dropped (nft -a list ruleset shows the handles); for "
        "Docker: iptables -I DOCKER-USER -i %s -j ACCEPT and the same with -o",
        net.bridge);
    doctor_push(checks, "foreign firewall", !foreign, foreign ? text : "none in the way", fix);
}

void network_doctor(json_t *checks)
{
    AUTO_FREE char *bridge = mem_format("/sys/class/net/%s", net.bridge);
    bool forward = kernel_reads(FORWARD, "1");
    doctor_push(checks, "bridge", file_exists(bridge), file_exists(bridge) ? "up" : "it is gone",
                "restart the host role: it makes the bridge again");
    doctor_push(checks, "ip_forward", forward,
                forward ? "on (set by us at the start: containers are routed)"
                        : "off: containers do not reach the outside",
                "sysctl net.ipv4.ip_forward=1, and see who turned it off");
    bool legacy = kernel_reads("/proc/net/ip_tables_names", "filter");
    doctor_push(checks, "legacy iptables", !legacy,
                legacy ? "legacy iptables rules are loaded; they are not checked" : "none",
                "look with iptables-legacy -S for a FORWARD policy of DROP");
    doctor_foreign(checks);
}
