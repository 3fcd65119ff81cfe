/* rtnetlink by libmnl: the few requests that bridge and veth need. Every call is one message and
 * its acknowledgement; an error text names the device. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/check.h"
#include "host/network/network_priv.h"

#define MESSAGE_MAX 1024

int link_socket(struct err *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open a netlink socket");
    struct timeval limit = {.tv_sec = 5}; /* the kernel answers at once; never hang on it */
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* only a guard */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));  /* shorter answers */
    return fd;
}

/* Send and wait for the acknowledgement; a first answer of another type goes to `on_answer`. */
static int talk(int fd, struct nlmsghdr *request, mnl_cb_t on_answer, void *context)
{
    static unsigned sequence; /* loop thread */
    char answer[8192];
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    request->nlmsg_seq = ++sequence;
    request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    if (sendto(fd, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -1;
    for (;;) {
        ssize_t count = recv(fd, answer, sizeof(answer), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        int more = mnl_cb_run(answer, (size_t)count, request->nlmsg_seq, 0, on_answer, context);
        if (more <= MNL_CB_STOP)
            return more < 0 ? -1 : 0;
    }
}

static struct nlmsghdr *link_message(void *space, int type, int flags, struct ifinfomsg **ret_info)
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(space);
    m->nlmsg_type = (uint16_t)type;
    m->nlmsg_flags = (uint16_t)flags;
    *ret_info = mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    return m;
}

int link_bridge(int fd, const char *name, const uint8_t mac[6], uint32_t mtu, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    struct nlmsghdr *m = link_message(space, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put(m, IFLA_ADDRESS, 6, mac); /* fixed: it must not follow the ports' */
    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    struct nlattr *kind = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(m, kind);
    if (talk(fd, m, NULL, NULL) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make bridge '%s'", name);
    return 0;
}

int link_address(int fd, unsigned index, uint32_t address, int prefix, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct nlmsghdr *m = mnl_nlmsg_put_header(space);
    m->nlmsg_type = RTM_NEWADDR;
    m->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(m, sizeof(*info));
    info->ifa_family = AF_INET;
    info->ifa_prefixlen = (uint8_t)prefix;
    info->ifa_index = index;
    mnl_attr_put_u32(m, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(m, IFA_ADDRESS, htonl(address));
    mnl_attr_put_u32(m, IFA_BROADCAST, htonl(address | ((1u << (32 - prefix)) - 1)));
    if (talk(fd, m, NULL, NULL) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot give device %u its address", index);
    return 0;
}

int link_set_up(int fd, unsigned index, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    struct nlmsghdr *m = link_message(space, RTM_NEWLINK, 0, &info);
    info->ifi_index = (int)index;
    info->ifi_flags = IFF_UP;
    info->ifi_change = IFF_UP;
    if (talk(fd, m, NULL, NULL) < 0)
        return FAIL_SYS(err, "cannot set device %u up", index);
    return 0;
}

int link_route_default(int fd, unsigned index, uint32_t gateway, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct nlmsghdr *m = mnl_nlmsg_put_header(space);
    m->nlmsg_type = RTM_NEWROUTE;
    m->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct rtmsg *route = mnl_nlmsg_put_extra_header(m, sizeof(*route));
    route->rtm_family = AF_INET;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_STATIC;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    route->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(m, RTA_GATEWAY, htonl(gateway));
    mnl_attr_put_u32(m, RTA_OIF, index);
    if (talk(fd, m, NULL, NULL) < 0)
        return FAIL_SYS(err, "cannot set the default route");
    return 0;
}

int link_neighbour(int fd, unsigned index, uint32_t address, const uint8_t mac[6], struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct nlmsghdr *m = mnl_nlmsg_put_header(space);
    m->nlmsg_type = RTM_NEWNEIGH;
    m->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct ndmsg *neighbour = mnl_nlmsg_put_extra_header(m, sizeof(*neighbour));
    neighbour->ndm_family = AF_INET;
    neighbour->ndm_ifindex = (int)index;
    neighbour->ndm_state = NUD_PERMANENT;
    mnl_attr_put_u32(m, NDA_DST, htonl(address));
    mnl_attr_put(m, NDA_LLADDR, 6, mac);
    if (talk(fd, m, NULL, NULL) < 0)
        return FAIL_SYS(err, "cannot write down a neighbour on device %u", index);
    return 0;
}

int link_delete(int fd, const char *name, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    struct nlmsghdr *m = link_message(space, RTM_DELLINK, 0, &info);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    if (talk(fd, m, NULL, NULL) < 0 && errno != ENODEV)
        return FAIL_SYS(err, "cannot delete device '%s'", name);
    return 0;
}

static int index_seen(const struct nlmsghdr *m, void *context)
{
    unsigned *index = context;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(m);
    if (m->nlmsg_type == RTM_NEWLINK)
        *index = (unsigned)info->ifi_index;
    return MNL_CB_OK;
}

int link_index(int fd, const char *name, unsigned *ret_index, struct err *err)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    unsigned index = 0;
    struct nlmsghdr *m = link_message(space, RTM_GETLINK, 0, &info);
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    if (talk(fd, m, index_seen, &index) < 0 || index == 0)
        return FAIL_SYS(err, "cannot find device '%s'", name);
    *ret_index = index;
    return 0;
}

static int link_isolate(int fd, unsigned index)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    struct nlmsghdr *m = link_message(space, RTM_SETLINK, 0, &info);
    info->ifi_family = AF_BRIDGE;
    info->ifi_index = (int)index;
    struct nlattr *port = mnl_attr_nest_start(m, IFLA_PROTINFO);
    mnl_attr_put_u8(m, IFLA_BRPORT_ISOLATED, 1);
    mnl_attr_nest_end(m, port);
    return talk(fd, m, NULL, NULL);
}

static int veth_create(int fd, const struct link_veth *v)
{
    char space[MESSAGE_MAX] __attribute__((aligned(8)));
    struct ifinfomsg *info;
    struct nlmsghdr *m = link_message(space, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info);
    mnl_attr_put_strz(m, IFLA_IFNAME, v->name);
    mnl_attr_put_u32(m, IFLA_MTU, v->mtu);
    mnl_attr_put_u32(m, IFLA_MASTER, v->bridge);
    struct nlattr *link = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
    (void)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(m, IFLA_IFNAME, v->peer);
    mnl_attr_put(m, IFLA_ADDRESS, 6, v->peer_mac);
    mnl_attr_put_u32(m, IFLA_MTU, v->mtu);
    mnl_attr_put_u32(m, IFLA_NET_NS_PID, (uint32_t)v->peer_pid);
    mnl_attr_nest_end(m, peer);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, link);
    return talk(fd, m, NULL, NULL);
}

int link_veth(int fd, const struct link_veth *v, struct err *err)
{
    unsigned index;
    if (veth_create(fd, v) < 0)
        return errno == EEXIST ? LINK_EXISTS : FAIL_SYS(err, "cannot make veth '%s'", v->name);
    if (link_index(fd, v->name, &index, err) < 0)
        return -1;
    if (link_isolate(fd, index) < 0)
        return FAIL_SYS(err, "cannot isolate bridge port '%s'", v->name);
    return link_set_up(fd, index, err);
}
