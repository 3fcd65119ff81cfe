/* Is an instance ready? A resident child of the host (`slipway host-probe`) asks: the only process
 * of ours that reads what an app says to the host, so it runs as nobody of importance, under a
 * seccomp list of a few socket calls, and reads a status line only. It is told targets over a
 * socketpair and answers changes. When it dies it is started again and told all targets anew.
 * Loop thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"
#include "wire/settings.h"

/* `on_change` tells that a watched target became ready or unready; text says why not ("refused",
 * "status 500", "timeout"). `program` is our own binary (argv[0] of the child). */
struct probe_options {
    const char *program; /* NULL: /proc/self/exe */
    void (*on_change)(void *context, const char *name, bool ready, const char *text);
    void *context;
};
#define PROBE_LATE_MS 700
int probe_setup(const struct settings *settings, const struct probe_options *options,
                struct err *err) MUST_CHECK;
struct probe_target {
    const char *name;
    uint32_t address;
    uint16_t port;
    const char *path;    /* "" or NULL: a TCP connection is enough */
    int64_t interval_ms; /* until it is ready, and while it is unready; 0: 10 */
    int64_t timeout_ms; /* of one probe; 0: 5000. A ready one has PROBE_LATE_MS, or three times what
                           it takes usually: who hangs must be seen soon, who is slow may be slow */
    int64_t liveness_ms; /* once ready; 0: 1000 */
};
/* Watch a target from now (one of the same name is replaced and starts as not ready). */
void probe_watch(const struct probe_target *target);
void probe_forget(const char *name); /* unknown is fine */
void probe_shutdown(void);
void probe_doctor(json_t *checks);
json_t *probe_dump(void);

/* The child. */
int probe_main(int argc, char **argv);
