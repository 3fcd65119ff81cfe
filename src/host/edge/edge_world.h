/* For the live test of the edge: an installation of its own on 127.0.0.1 with real HAProxy, small
 * backends, a load client, and a channel to the verbs. Everything started here ends with the test,
 * also when the test dies: a guard process waits for that. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "host/host.h"

#define WORLD_BACKENDS 12 /* ports from `backend_port` on; each answers with its port's number */

struct world_load { /* shared with the load client */
    volatile bool stop;
    volatile int64_t good;
    volatile int64_t bad;    /* answered with something else than 200 */
    volatile int64_t broken; /* connection closed or refused before the whole answer */
    volatile int64_t first_bad_status;
    volatile int64_t last_good_us; /* mono */
    volatile int64_t longest_gap_us;
};
struct world {
    struct settings settings;
    struct host host;
    struct channel *server;
    struct channel *client;
    const char *folder;
    int log_fd; /* the request-log socket */
    int guard_fd;
    int64_t http_port;
    int64_t https_port;
    int64_t backend_port;
    pid_t backend_pid;
    int64_t marked_pid; /* a test's own */
};
/* False when the test cannot run here (not root, no haproxy). */
bool world_up(struct world *w, bool https);
void world_down(struct world *w);
void world_edge_start(struct world *w); /* edge_init and waiting until it is up */
void world_edge_stop(struct world *w);  /* edge_done: HAProxy goes on */

/* Ask a verb and wait; takes args. NULL: failed, *ret_error tells the name (static buffer). */
json_t *world_call(struct world *w, const char *verb, json_t *args, const char **ret_error);
/* edge.apply with servers "r<release>.<n>" on the given backends, made from a short text: "a:1,2
 * b:3" puts backends 1 and 2 into slot a. */
json_t *world_apply(struct world *w, int64_t id, int64_t version, const char *slots,
                    const char *live, int64_t share, const char **ret_error);
bool world_until(struct world *w, bool (*condition)(struct world *w), int64_t milliseconds);
bool world_is_up(struct world *w);
int64_t world_pid(struct world *w);
void world_turn(int64_t milliseconds); /* run the loop for so long */

/* One request by a blocking client; the whole answer as text (heap), "" when refused. `request` is
 * sent as it is. */
char *world_ask(struct world *w, const char *request);
/* GET /path with that Host; returns the status, -1 when broken; body's number into *ret_number. */
int world_get(struct world *w, const char *host, const char *path, int64_t *ret_number);

struct world_load *world_load_start(struct world *w, const char *host, int connections,
                                    pid_t *ret_pid);
void world_load_end(struct world_load *load, pid_t pid);
/* One command at a runtime socket, past the edge; the answer is dropped. */
void world_runtime(const char *socket_path, const char *command);
/* One more backend (number WORLD_BACKENDS), alone in its process: to be killed. */
pid_t world_instance(struct world *w, int number);
int world_listen(int64_t port);
