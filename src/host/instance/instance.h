/* Instances: running copies of releases, under conmon and crun, that outlive this process.
 *
 * Asked to start one, the host writes its record (data_dir/host/instances/NAME/record.json, with
 * all that is needed to start it again without core), makes a root, creates the container, wires
 * its network, lets it go, and answers when the probe says ready. From then on the record is the
 * wish: an instance that ends is started again (100 ms doubling to 30 s; five ends within a minute
 * are a crash loop, tried every 30 s), one that does not answer its probe for ten seconds is killed
 * and so started again (a bad status is an answer), after a crash of the host it is found and
 * adopted, after a reboot started again, a few at a time (comeback.c). A start that never became
 * ready (deadline, exit) fails and leaves nothing. Stop: signal, grace, KILL, then every trace is
 * removed. Loop thread.
 *
 * The truth about a container after a crash of ours: its pid file, the cgroup of that process,
 * whether conmon lives, whether exec.fifo still waits. Half-made things are removed and made anew.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/json.h"
#include "host/artifact/artifact.h"
#include "host/host.h"
#include "io/message.h"

/* Where roots come from: artifact_root and artifact_root_done, or a test's. */
struct instance_roots {
    int (*get)(const char *artifact, struct artifact_root *ret_root, struct err *err);
    void (*done)(struct artifact_root *root);
};
/* After sandbox_setup and before the loop runs: starts the probe and takes up all recorded
 * instances. `program` is our own binary for the probe, NULL: /proc/self/exe. */
int instance_init(struct host *h, const struct instance_roots *roots, const char *program,
                  struct err *err) MUST_CHECK;
/* Let go of everything; the instances run on. */
void instance_shutdown(void);

void instance_verb_start(void *context, struct message *m);
void instance_verb_stop(void *context, struct message *m);
void instance_verb_list(void *context, struct message *m);

/* Who must know at once whether an instance ("r42.1" of that app-env) may get requests: the edge.
 */
void instance_on_ready(void (*fn)(int64_t app_env_id, const char *server, bool ready));
/* Is this artifact used by an instance? For artifact_in_use. */
bool instance_uses(void *context, const char *artifact);
void instance_doctor(json_t *checks);
void instance_df(json_t *volumes);
json_t *instance_dump(void);
