/* Our table may go with somebody else's: `systemctl restart nftables` begins with "flush ruleset".
 * Without it containers reach neither the outside nor are they fenced in. The kernel tells of every
 * change to a table; a moment later it is looked whether ours still stands. */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/network/network_priv.h"
#include "io/loop.h"

#define LOOK_MS 2000 /* changes come in groups; ours are among them */
#define AGAIN_MS 10000

static struct {
    int fd;
    struct watch *watch;
    struct timer *timer;
    const struct filter *filter;
} guard = {.fd = -1};

static bool stands(void)
{
    struct err err = ERR_INIT;
    const char *const argv[] = {NFT, "-t", "list", "table", "inet", guard.filter->table, NULL};
    AUTO_BUF out = BUF_INIT(8u << 20);
    return filter_nft(argv, (struct str){"", 0}, &out, &err) == 0;
}

static void look(void *context)
{
    struct err err = ERR_INIT;
    (void)context;
    timer_free(&guard.timer);
    if (stands())
        return;
    log_warn("the firewall table of containers was taken away, making it again",
             F_STR("table", guard.filter->table));
    if (filter_load(guard.filter, &err) == 0) {
        mirrors_put();
        return;
    }
    log_error("containers are without a firewall table, trying again", F_ERR(&err));
    timer_start(&guard.timer, AGAIN_MS, 0, look, NULL);
}

static void on_change(void *context, int events)
{
    char buffer[8192];
    ssize_t count;
    (void)context, (void)events;
    do {
        count = recv(guard.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    } while (count > 0 || (count < 0 && (errno == EINTR || errno == ENOBUFS)));
    timer_sooner(&guard.timer, LOOK_MS, look, NULL);
}

int guard_start(const struct filter *filter, struct err *err)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
    if (guard.fd >= 0)
        return 0;
    AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return FAIL_SYS(err, "cannot listen to changes of nftables");
    guard.filter = filter;
    guard.fd = fd;
    fd = -1;
    guard.watch = watch_new(guard.fd, on_change, NULL);
    watch_set(guard.watch, WATCH_READ);
    return 0;
}

void guard_stop(void)
{
    watch_free(TAKE(guard.watch));
    timer_free(&guard.timer);
    fd_closep(&guard.fd);
    guard.fd = -1;
}
