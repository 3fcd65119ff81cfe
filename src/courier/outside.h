/* A place outside, a repository or a forge, as core says it with one call, and what we are there.
 *
 * remote: {"url", "kind": git, gitlab, github or gitea, "login": the user name that git gives with
 * the token, or null, "ca": certificates, or null, "known_hosts": of ssh, or null, "inside": it may
 * be at a private address}. The secret comes by an fd: {"token", "key": of ssh, "hook"}, each may
 * be absent. The host's address is looked up and checked once, and pinned: who answers for its name
 * later does not matter. Pool threads.
 *
 * With a proxy (settings' forge_proxy) what is at a public address is asked for through it, by
 * name: then the proxy looks the name up again. What is at a private address, at one of
 * forge_networks, a host of no_proxy, and ssh go without it. A name that only the proxy knows is
 * one of a forge that an administrator entered ("inside"), or it is refused. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/mem.h"
#include "base/secret.h"
#include "base/url.h"
#include "io/address.h"
#include "io/http_client.h"
#include "wire/settings.h"

enum outside_kind { OUTSIDE_GIT, OUTSIDE_GITLAB, OUTSIDE_GITHUB, OUTSIDE_GITEA };
struct outside {
    struct url_repository url;
    char *text; /* the url, as git takes it */
    enum outside_kind kind;
    const char *login, *ca, *known_hosts; /* of the remote, which outlives this; may be NULL */
    char address[ADDRESS_TEXT];           /* "": only the proxy knows */
    const char *proxy;                    /* a URL; "": none. The settings' */
    struct secret token, key, hook;       /* "": none */
};
/* At start: which addresses are open (settings' forge_networks), and which are our own. */
void outside_setup(const struct settings *settings);

/* fd: borrowed; -1: no secret. E_URL_SCHEME, E_HOST_INVALID, E_FIELD_INVALID, E_ADDRESS_FORBIDDEN,
 * E_UNAVAILABLE (no such host). */
int outside_open(const json_t *remote, int fd, struct outside *ret_outside,
                 struct err *err) MUST_CHECK;
void outside_done(struct outside *o);
static inline void outside_donep(struct outside *o)
{
    outside_done(o);
}
#define AUTO_OUTSIDE __attribute__((cleanup(outside_donep))) struct outside

/* "HOST:PORT:ADDRESS", as curl's and git's pins want it: heap. NULL: the host is an address, or the
 * proxy's matter. */
char *outside_pin(const struct outside *o);
/* "Authorization: Basic ..." for git over HTTP: heap, to be wiped; NULL without a token. */
char *outside_basic(const struct outside *o);
