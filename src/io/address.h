/* What kind of place an IP address is: who goes where others say (a forge, a repository) asks
 * first, of the address that it then goes to. Any thread. */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/str.h"

/* RFC 6890 and its updates; an IPv4 address within an IPv6 one (::ffff:0:0/96, 64:ff9b::/96) counts
 * as what it is. */
enum address_kind {
    ADDRESS_PUBLIC,
    ADDRESS_PRIVATE, /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 */
    ADDRESS_NEVER,   /* this machine, this link (where clouds tell secrets), none, or many */
};
enum address_kind address_kind(const struct sockaddr *address);

#define ADDRESS_TEXT 46 /* INET6_ADDRSTRLEN */
/* As text, without its port. */
void address_text(const struct sockaddr *address, char ret_text[ADDRESS_TEXT]);

/* Is it within one of "10.0.0.0/8, 127.0.0.1, fd00::/8"? `ranges` was checked. */
bool address_within(const struct sockaddr *address, struct str ranges);
/* Is it such a list, perhaps an empty one? */
bool address_ranges_valid(struct str ranges);

/* The addresses of a host, which may be an address: the first one that `may` agrees to, as text.
 * Blocking. E_UNAVAILABLE: the name has none; E_ADDRESS_FORBIDDEN: `may` agrees to none. */
int address_find(const char *host, bool (*may)(void *context, const struct sockaddr *address),
                 void *context, char ret_text[ADDRESS_TEXT], struct err *err) MUST_CHECK;
