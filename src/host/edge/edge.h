/* The edge: HAProxy as the traffic switch of this machine, driven by declared state.
 *
 * Core declares the wanted state of one app-env (edge.apply); we record it in
 * data_dir/host/edge/state.jsonl (the truth), then bring the running HAProxy there by the shortest
 * way: runtime commands, or a reload when it has no backends for that app-env yet. HAProxy is
 * detached and outlives us; the next host process adopts it by pid file and runtime socket and
 * applies the whole state again. A HAProxy that died is started again at once.
 *
 * Loop thread. One edge a process. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"

struct host;
struct message;
struct settings;

/* Load the state, adopt or start HAProxy (which goes on in the background: edge_doctor tells how it
 * went). Fails when the user or the folders cannot be had. */
int edge_init(struct host *h, struct err *err) MUST_CHECK;
/* Forget everything but HAProxy itself, which goes on serving. */
void edge_done(void);
/* Host's own word on an instance ("r42.1") of an app-env: while it is not ready it gets no
 * requests, unless no other of its slot is ready. Nothing of this is recorded: a new host probes
 * anew. */
void edge_server_ready(int64_t app_env_id, const char *server, bool ready);
/* Append {"name","ok","text","fix"} objects. */
void edge_doctor(struct host *h, json_t *checks);
/* Every object of the edge, for the host's dump; a new reference. */
json_t *edge_dump(void);
/* End every HAProxy of this installation (for `down`). Blocking, at most some seconds; the host
 * role must be gone first, else it starts another. Any thread. */
int edge_shutdown(const struct settings *settings, struct err *err) MUST_CHECK;

/* Verbs of wire/host.h; the context is struct host. */
void edge_verb_apply(void *context, struct message *m);
void edge_verb_remove(void *context, struct message *m);
void edge_verb_drained(void *context, struct message *m);
void edge_verb_certificate(void *context, struct message *m);
void edge_verb_stat(void *context, struct message *m);
