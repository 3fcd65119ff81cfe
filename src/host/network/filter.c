/* What containers may reach: one nftables table of our own, replaced as a whole when the host
 * starts, untouched while it runs.
 *
 * In: the role users of this machine (edge, probe, root) may connect to containers; nobody from
 * outside, no container to another (bridge ports are isolated, and routing back is dropped here).
 * To this machine: only answers. Out: any public IPv4 address from the open half of the subnet, and
 * port 53 of the machine's own resolvers; private, link-local (cloud metadata), shared and
 * loopback ranges are dropped, IPv6 as well. Builds alone may go to the mirrors and the proxy of
 * the settings wherever those are, also on this machine (mirrors.c).
 *
 * An accept here does not undo a drop in somebody else's table (Docker sets the policy of FORWARD
 * to drop): network_doctor looks for such chains and says what to add. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/network/network_priv.h"
#include "io/child.h"

#define NFT_LIMIT_MS 60000 /* it may have to load modules first */
#define NFT_OUTPUT_MAX (8u << 20)

/* Not "outside": this network, private, shared, loopback, link-local, IETF, benchmarks, multicast,
 * reserved. */
static const char inside[] =
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
    "192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";

static void filter_sets(const struct filter *f, struct buf *out)
{
    char text[NETWORK_TEXT];
    buf_add_format(out, " set inside { type ipv4_addr; flags interval; elements = { %s } }\n",
                   inside);
    buf_add_text(out, " set resolvers { type ipv4_addr;");
    for (size_t i = 0; i < f->resolver_count; i++) {
        network_text(f->resolvers[i], text);
        buf_add_format(out, "%s %s", i ? "," : " elements = {", text);
    }
    buf_add_text(out, f->resolver_count ? " }; }\n" : " }\n");
    AUTO_BUF mirrors = BUF_INIT(0);
    if (f->mirrors)
        mirrors_elements(f->mirrors, &mirrors);
    buf_add_format(out, " set mirrors { type ipv4_addr . inet_service;%s%s }\n",
                   mirrors.length ? " elements = " : "", mirrors.length ? mirrors.data : "");
    buf_add_text(out, " set users { type uid; elements = { 0");
    for (size_t i = 0; i < f->user_count; i++)
        if (f->users[i] != 0)
            buf_add_format(out, ", %u", (unsigned)f->users[i]);
    buf_add_text(out, " }; }\n");
}

void filter_script(const struct filter *f, struct buf *out)
{
    const char *bridge = f->bridge;
    /* The first line makes the second one succeed; all of it is one transaction. */
    buf_add_format(out, "table inet %s\ndelete table inet %s\ntable inet %s {\n", f->table,
                   f->table, f->table);
    filter_sets(f, out);
    buf_add_format(out,
                   " chain input { type filter hook input priority -10; policy accept;\n"
                   "  iifname \"%s\" ct state established,related accept\n"
                   "  iifname \"%s\" ip saddr %s ip daddr . tcp dport @mirrors accept\n"
                   "  iifname \"%s\" drop\n }\n",
                   bridge, bridge, f->builds, bridge);
    buf_add_format(out,
                   " chain output { type filter hook output priority -10; policy accept;\n"
                   "  oifname \"%s\" ct state new meta skuid != @users drop\n }\n",
                   bridge);
    buf_add_format(out,
                   " chain forward { type filter hook forward priority -10; policy accept;\n"
                   "  iifname \"%s\" jump from_containers\n"
                   "  oifname \"%s\" ct state established,related accept\n"
                   "  oifname \"%s\" drop\n }\n",
                   bridge, bridge, bridge);
    buf_add_format(out,
                   " chain from_containers {\n"
                   "  meta nfproto ipv6 drop\n"
                   "  oifname \"%s\" drop\n"
                   "  ip saddr != %s drop\n"
                   "  tcp flags syn tcp option maxseg size set rt mtu\n"
                   "  ct state established,related accept\n"
                   "  ip saddr %s drop\n"
                   "  ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept\n"
                   "  ip saddr %s ip daddr . tcp dport @mirrors accept\n"
                   "  ip daddr @inside drop\n"
                   "  accept\n }\n",
                   bridge, f->subnet, f->closed, f->builds);
    buf_add_format(out,
                   " chain nat { type nat hook postrouting priority 100; policy accept;\n"
                   "  ip saddr %s oifname != \"%s\" masquerade\n }\n}\n",
                   f->subnet, bridge);
    ASSERT(!out->failed);
}

static int memory_file(struct str content, struct err *err)
{
    AUTO_CLOSE int fd = memfd_create("nft", MFD_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a memory file");
    if (content.length && write(fd, content.data, content.length) != (ssize_t)content.length)
        return FAIL_SYS(err, "cannot fill a memory file");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return FAIL_SYS(err, "cannot rewind a memory file");
    return TAKE_FD(fd);
}

/* Wait for our own child, at most NFT_LIMIT_MS. */
static int nft_wait(pid_t pid, int *ret_status, struct err *err)
{
    AUTO_CLOSE int fd = pidfd_open(pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = fd < 0 ? 1 : poll(&wait, 1, NFT_LIMIT_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return FAIL_SYS(err, "cannot wait for nft");
    return ready > 0 ? 0 : FAIL(err, E_TIMEOUT, "nft did not end within %d s", NFT_LIMIT_MS / 1000);
}

static int nft_spawn(const char *const *argv, int in, int out, pid_t *ret_pid, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    (void)sigemptyset(&none);
    errno = posix_spawn_file_actions_init(&actions);
    if (errno)
        return FAIL_SYS(err, "cannot prepare nft");
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawn_file_actions_adddup2(&actions, in, 0);  /* fails only without memory, then */
    (void)posix_spawn_file_actions_adddup2(&actions, out, 1); /* nft reads nothing and says so */
    (void)posix_spawn_file_actions_adddup2(&actions, out, 2);
    errno = posix_spawn(ret_pid, argv[0], &actions, &attributes, (char *const *)argv,
                        (char *const *)child_base_env());
    int failed = errno;
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    errno = failed;
    return failed ? FAIL_SYS(err, "cannot start '%s'", argv[0]) : 0;
}

int filter_nft(const char *const *argv, struct str input, struct buf *out, struct err *err)
{
    pid_t pid;
    int status = 0;
    AUTO_CLOSE int in = memory_file(input, err);
    if (in < 0)
        return -1;
    AUTO_CLOSE int written = memory_file((struct str){"", 0}, err);
    if (written < 0 || nft_spawn(argv, in, written, &pid, err) < 0 ||
        nft_wait(pid, &status, err) < 0)
        return -1;
    if (lseek(written, 0, SEEK_SET) < 0)
        return FAIL_SYS(err, "cannot rewind a memory file");
    if (file_read_fd(written, NFT_OUTPUT_MAX, out, err) < 0)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        struct str rest = buf_str(out);
        struct str line = str_cut(&rest, '\n');
        return FAIL(err, E_SYSTEM, "nft failed: %.*s", (int)line.length,
                    line.data ? line.data : "");
    }
    return 0;
}

int filter_load(const struct filter *f, struct err *err)
{
    static const char *const argv[] = {NFT, "-f", "-", NULL};
    AUTO_BUF script = BUF_INIT(64u << 10);
    AUTO_BUF out = BUF_INIT(NFT_OUTPUT_MAX);
    filter_script(f, &script);
    if (filter_nft(argv, buf_str(&script), &out, err) < 0)
        return err_wrap(err, "cannot load the nftables table '%s'", f->table);
    return 0;
}

size_t resolv_servers(struct str text, uint32_t *ret_servers, size_t most)
{
    size_t count = 0;
    while (text.data && count < most) {
        struct str line = str_trim(str_cut(&text, '\n'));
        struct err err = ERR_INIT;
        uint32_t address;
        if (!str_starts(line, "nameserver ") && !str_starts(line, "nameserver\t"))
            continue;
        line = str_trim((struct str){line.data + 11, line.length - 11});
        AUTO_FREE char *server = str_dup(line);
        if (network_parse(server, &address, &err) == 0 && address >> 24 != 127)
            ret_servers[count++] = address;
    }
    return count;
}
