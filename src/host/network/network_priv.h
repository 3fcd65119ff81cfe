/* Between the files of this folder. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "host/network/network.h"

/* The subnet and who holds what of it. Pure but for memory. */
struct pool {
    uint32_t first; /* network address */
    uint32_t size;  /* a power of two, 16 .. 2^24 */
    int prefix;
    uint8_t *used;    /* a bit an address */
    uint32_t next[3]; /* by reach: where the search goes on */
};
int pool_init(struct pool *p, const char *subnet, struct err *err) MUST_CHECK;
void pool_done(struct pool *p);
uint32_t pool_gateway(const struct pool *p);
bool pool_holds(const struct pool *p, uint32_t address);
int pool_take(struct pool *p, enum network_reach reach, uint32_t *ret_address,
              struct err *err) MUST_CHECK;
int pool_claim(struct pool *p, uint32_t address, struct err *err) MUST_CHECK;
void pool_release(struct pool *p, uint32_t address);
/* "10.213.128.0/17": the half that stays inside. */
void pool_closed_half(const struct pool *p, char ret_text[NETWORK_TEXT + 3]);
/* "10.213.96.0/19": the part of the other half that builds have for themselves. */
void pool_builds(const struct pool *p, char ret_text[NETWORK_TEXT + 3]);

/* What the filter lets builds reach. */
struct mirrors {
    struct mirror items[8];
    size_t count;
};
bool mirror_address_ok(const struct pool *p, uint32_t address);
void mirrors_init(struct mirrors *list, const struct settings *s, const struct pool *p);
void mirrors_elements(const struct mirrors *list, struct buf *out); /* "{ 10.0.0.5 . 80 }", or "" */

/* rtnetlink, one request a call. `socket` is a netlink socket of the namespace meant. */
int link_socket(struct err *err) MUST_CHECK;
int link_bridge(int socket, const char *name, const uint8_t mac[6], uint32_t mtu,
                struct err *err) MUST_CHECK;
int link_address(int socket, unsigned index, uint32_t address, int prefix,
                 struct err *err) MUST_CHECK;
int link_set_up(int socket, unsigned index, struct err *err) MUST_CHECK;
int link_route_default(int socket, unsigned index, uint32_t gateway, struct err *err) MUST_CHECK;
/* Write down who has an address, so that nobody needs to ask: a first ARP question that meets a
 * port which does not forward yet would be asked again only after a second. */
int link_neighbour(int socket, unsigned index, uint32_t address, const uint8_t mac[6],
                   struct err *err) MUST_CHECK;
int link_delete(int socket, const char *name, struct err *err) MUST_CHECK; /* absent is fine */
int link_index(int socket, const char *name, unsigned *ret_index, struct err *err) MUST_CHECK;
#define LINK_EXISTS 1
struct link_veth {
    const char *name; /* here, a port of the bridge, up and isolated */
    unsigned bridge;
    uint32_t mtu;
    const char *peer; /* there */
    pid_t peer_pid;
    const uint8_t *peer_mac;
};
/* LINK_EXISTS when the name is taken. */
int link_veth(int socket, const struct link_veth *v, struct err *err) MUST_CHECK;

/* nftables. */
#define FILTER_RESOLVERS 8
#define FILTER_USERS 8
struct filter {
    const char *table;
    const char *bridge;
    const char *subnet;
    const char *closed; /* the half that may not go outside */
    const char *builds; /* the part of the other one that may go to the mirrors */
    const struct mirrors *mirrors;
    uint32_t resolvers[FILTER_RESOLVERS];
    size_t resolver_count;
    uid_t users[FILTER_USERS]; /* who on this machine may connect to a container */
    size_t user_count;
};
void filter_script(const struct filter *f, struct buf *out); /* text for nft -f - */
int filter_load(const struct filter *f, struct err *err) MUST_CHECK;
#define NFT "/usr/sbin/nft"
/* Run nft with this input; its output into *out. Blocking. */
int filter_nft(const char *const *argv, struct str input, struct buf *out,
               struct err *err) MUST_CHECK;
/* foreign.c. What of the machine is ours, as a rule of somebody else would name it. */
struct foreign_ours {
    const char *table;
    const char *bridge;
    uint32_t first; /* of the subnet */
    uint32_t size;
    int64_t http, https; /* ports of the edge; https 0: none */
};
/* Chains of others that drop what we need, from `nft -j list ruleset`: each with the rule or the
 * policy that does it into *out, ", " between; returns how many. */
size_t foreign_drops(const json_t *ruleset, const struct foreign_ours *ours, struct buf *out);

/* guard.c. Make the table again when somebody has taken it away; the filter outlives it. Loop
 * thread. */
int guard_start(const struct filter *filter, struct err *err) MUST_CHECK;
void guard_stop(void);
/* What is known of the mirrors' addresses into a table that was made again. */
void mirrors_put(void);
/* Keep the set up to date from now on. What is pointed to outlives it. Loop thread. */
void mirrors_watch(const struct mirrors *list, const struct filter *filter,
                   const struct pool *pool);

/* The nameserver lines of a resolv.conf; loopback addresses are left out. Returns how many. */
size_t resolv_servers(struct str text, uint32_t *ret_servers, size_t most);
