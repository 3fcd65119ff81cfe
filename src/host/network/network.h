/* The containers' network: one bridge, one nftables table, one veth a container.
 *
 * The bridge `<id>0` holds the first address of settings->subnet. A container's netns is made by
 * crun; between create and start network_attach makes a veth with its peer in there, so that
 * nothing is left to clean up: with the netns the veth dies. Bridge ports are isolated, so that
 * containers do not see each other; what they may reach outside stands in filter.c. The lower half
 * of the subnet may go outside (its last quarter is for builds, which may go to the mirrors of the
 * settings besides: mirrors.c), the upper half may not: no rule changes while we run. Addresses are
 * taken here and remembered by their owner (an instance's record claims its own again). Loop
 * thread, but where said; the calls block for the few milliseconds that the kernel needs. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"
#include "wire/settings.h"

/* Bridge, nftables table, ip_forward (set to 1 and said in the log: containers are routed), and
 * run_dir/resolv.conf. Safe to repeat: a restarted host finds and keeps what is there. */
int network_setup(const struct settings *settings, struct err *err) MUST_CHECK;

#define NETWORK_TEXT 16 /* "255.255.255.255" */
/* A build is let outside, and to the mirrors and the proxy of the settings wherever they are. */
enum network_reach { NETWORK_OUTSIDE, NETWORK_CLOSED, NETWORK_BUILD };
/* A free address (host byte order); the longest unused one first, so that an address of a container
 * that just ended is not soon another's. E_TOO_MANY when none is left. */
int network_take(enum network_reach reach, uint32_t *ret_address, struct err *err) MUST_CHECK;
/* Mark a recorded address as used. E_OUT_OF_RANGE when it is not of the subnet, E_EXISTS when it is
 * taken. */
int network_claim(uint32_t address, struct err *err) MUST_CHECK;
void network_release(uint32_t address); /* 0 is fine */
void network_text(uint32_t address, char ret_text[NETWORK_TEXT]);
int network_parse(const char *text, uint32_t *ret_address, struct err *err) MUST_CHECK;

/* Wire the network namespace of process `pid`: lo up, eth0 with this address, default route. */
int network_attach(pid_t pid, uint32_t address, struct err *err) MUST_CHECK;
/* A mirror or the proxy of the settings, as host and port. */
struct mirror {
    char host[254];
    uint16_t port;
    bool literal;          /* host is an address */
    bool failed;           /* the last look-up */
    uint32_t addresses[8]; /* more are left out */
    size_t count;
};
/* False when there is no host in it, or one of IPv6 (containers have none). */
bool mirror_parse(const char *url, struct mirror *ret_mirror);
/* Only lo. */
int network_attach_lo(pid_t pid, struct err *err) MUST_CHECK;
/* The file to bind on /etc/resolv.conf: the real upstream resolvers. */
const char *network_resolv_path(void);
/* Number of ports on the bridge now (for tests and dump). */
size_t network_ports(void);
void network_doctor(json_t *checks);
/* Take bridge and table away again (tests, and `down`). */
void network_teardown(const struct settings *settings);
/* Host ends: nothing of the machine is changed. */
void network_shutdown(void);
