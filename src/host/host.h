/* The host role's parts as its main (host.c) sees them, and what they share. Loop thread. */
#pragma once
#include "io/message.h"
#include "wire/settings.h"

struct host {
    const struct settings *settings;
    struct channel *core; /* the channel with the newest epoch; NULL when core is away */
    int64_t epoch;        /* the largest seen, kept in data_dir/host/epoch */
    char boot[17];        /* random id of this process */
};
/* Send a notice to core, if it is there. Takes args. */
void host_notify(struct host *h, const char *verb, json_t *args);
/* Of a verb's arguments, or of a record: the number of the app-env's range of user ids, which
 * settings_range takes. E_OUT_OF_RANGE */
int host_id_range(const struct settings *s, const json_t *args, int64_t *ret_number,
                  struct err *err) MUST_CHECK;

/* The role: `slipway host --settings FILE`, as root, fd 3 listening on host.sock. Returns the
 * process's exit code. The caller's other entries of this folder: probe_main (`host-probe`),
 * unpack_main (`host-unpack`), report_main (`host-report`), pack_main (`host-pack`). */
int host_main(int argc, char **argv);
