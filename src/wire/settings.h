/* The installation's settings: one root-owned file of `key = value` lines that every role reads at
 * its start. It holds no secret. Unknown keys and bad values are errors with the line's number.
 * Several installations live on one machine when id, subnet, id_first, directories and ports
 * differ. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/str.h"
#include "base/mem.h"

struct settings {
    char *path;       /* the file itself */
    char *id;         /* "slipway": prefixes cgroup, bridge, nftables table; a name of <= 8 bytes */
    char *data_dir;   /* /var/lib/slipway */
    char *run_dir;    /* /run/slipway; at most 60 bytes (unix socket paths) */
    char *api_listen; /* "127.0.0.1:7000" */
    int64_t edge_http;   /* 80 */
    int64_t edge_https;  /* 443; 0: none */
    char *edge_address;  /* "*": where the edge listens; "127.0.0.1" in tests */
    char *base_domain;   /* "localhost": an app-env is APP.ENV.<base_domain> */
    char *subnet;        /* "10.213.0.0/16": instances and builds */
    int64_t id_first;    /* 400000000: first uid of the ranges of 65536 */
    char *user_core;     /* "slipway"; the role users. */
    char *user_courier;  /* "slipway-courier" */
    char *user_signals;  /* "slipway-signals" */
    char *user_edge;     /* "slipway-edge" */
    char *public_url;    /* "" or where others reach the API: in links, and for webhooks */
    bool insecure_http;  /* may the API listen beyond loopback without TLS */
    char *ca_bundle;     /* "" or a file mounted into builds as the system's CA bundle */
    char *debian_mirror; /* "" or a URL for base images; "": the machine's own sources */
    char *npm_registry;  /* "" or a URL given to builds; likewise below */
    char *pip_index;     /* "" or a URL, as all of these */
    char *go_proxy;
    char *maven_mirror;
    char *cargo_index;       /* a sparse index, without "sparse+" */
    char *http_proxy;        /* "" or a URL given to builds */
    char *no_proxy;          /* "" or hosts, "," between: what is asked without it */
    char *forge_proxy;       /* "" or a URL: the way to repositories at public addresses */
    char *forge_networks;    /* "" or addresses, "," between: forges of this machine or its link */
    char *mirror_logins;     /* "" or a file of root's alone: who we are at mirrors and proxy */
    int64_t build_memory;    /* bytes, 2 GiB */
    int64_t build_pids;      /* 1024 */
    int64_t build_volume;    /* bytes of a build's own volume, 4 GiB (sparse) */
    int64_t build_seconds;   /* deadline of one build, 1800 */
    int64_t builds_parallel; /* 1 */
    int64_t disk_reserve;    /* bytes kept free: below it builds are refused, 1 GiB */
    char *log_level;         /* error, warn, info, debug */
};
/* E_CONFIG_INVALID names file and line; E_NOT_FOUND when the file is absent. */
int settings_load(const char *path, struct settings **ret_settings, struct err *err) MUST_CHECK;
void settings_free(struct settings *s);
/* The FILE of "--settings FILE" among a role's arguments; NULL when it is not there. */
const char *settings_argument(int argc, char **argv);
DEFINE_AUTO(settings)
/* Paths; heap, caller frees. Names used by more than one role stand here and nowhere else:
 *   data_dir/core        core's store.db, its lock (owner user_core, 0700)
 *   data_dir/git         APP.git bare repositories (owner user_courier, 0700)
 *   data_dir/host        blobs/, unpacked/, bases/, caches/, builds/, instances/ (records), edge/,
 *                        journal-heads, journal-refused (root, 0700)
 *   data_dir/signals     (owner user_signals, 0700)
 *   data_dir/panic/ROLE  what a role wrote when it found itself broken (its user's, 0700)
 *   data_dir/master.key  root, 0600; handed to core as fd
 *   run_dir/NAME.sock    host, courier, signals: role sockets; api: HTTP for the CLI (0666, peers
 *                        are told by SO_PEERCRED); git: HTTP of the courier behind the edge (0666)
 *   run_dir/edge         what HAProxy reads: conf/ (configuration, maps, certificates), log.sock
 *                        (root, group of user_edge, 0750)
 *   run_dir/edge/haproxy what it writes: admin.sock, handover.sock, haproxy.pid (owner user_edge)
 *   run_dir/live         tmpfs: live directories of the instances, secrets of builds (root, 0711)
 */
/* Where others reach the API: public_url, or its name at the edge once the installation has a
 * domain, or where it listens. */
char *settings_address(const struct settings *s);
/* Is this the host of public_url? */
bool settings_is_public(const struct settings *s, struct str host);
char *settings_data(const struct settings *s, const char *below);
char *settings_run(const struct settings *s, const char *below);
/* The uid of one of the role users; E_NOT_FOUND when the user does not exist. */
int settings_uid(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err) MUST_CHECK;
/* uid ranges: the first of the 65536 ids that the app-env with this number (its id_range) has. kind
 * 0: for its instances, 1: for its builds. A number past settings_range_max is our own mistake
 * (ASSERT): who takes one from outside, or gives out a new one, asks first. */
int64_t settings_range_max(const struct settings *s); /* 29,714 with the default id_first */
uint32_t settings_range(const struct settings *s, int64_t number, int kind);

/* The fds that the supervisor gives to a role at its start, by number; -1 environment-free
 * contract: fd 3 is always the role's own listener (host.sock, courier.sock, signals.sock; core:
 * api.sock). core:    4 = TCP listener of the API, 5 = master key (read once, then closed) courier:
 * 4 = listener of git over HTTP (run_dir/git.sock) signals: 4 = request-log datagram socket (bound
 * to run_dir/edge/log.sock) A role is started as: slipway ROLE --settings FILE (ROLE: core,
 * courier, host, signals), as its user, in run_dir, stdout and stderr the log. SIGTERM ends it in
 * order. */
/* A role that exits with ROLE_EXIT_NEVER would do so at every start, until a person changes
 * something (an older program on a newer store, another master key): the supervisor ends with this
 * code instead of starting it again. */
#define ROLE_EXIT_NEVER 78
enum role_fd { ROLE_FD_LISTENER = 3, ROLE_FD_SECOND = 4, ROLE_FD_KEY = 5 };
