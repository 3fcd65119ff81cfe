/* Builds: one isolated run from a source tree to an artifact.
 *
 * A build owns a loop-mounted ext4 volume (size-limited, so that it cannot fill the disk), a
 * cgroup, a uid range and a network of its own. Its steps run one by one as root of a user
 * namespace on the build base, the tree at its workdir; then its checks; then the output paths are
 * packed into a reproducible layer by a narrowed child. The result and the output (head and tail)
 * are kept in data_dir/host/builds/NAME, so that asking again answers. Loop thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "host/host.h"
#include "io/message.h"

int build_init(struct host *h, struct err *err) MUST_CHECK; /* also clears leftovers */
void build_shutdown(struct host *h); /* kill what runs and unmount; before the process ends */
void build_doctor(struct host *h, json_t *checks);
void build_df(struct host *h, json_t *volumes);
json_t *build_dump(void); /* every build in memory */
void build_verb_run(void *context, struct message *m);
void build_verb_source(void *context, struct message *m);
void build_verb_cancel(void *context, struct message *m);
void build_verb_output(void *context, struct message *m);
void build_verb_forget(void *context, struct message *m);

int report_main(int argc, char **argv); /* `slipway host-report`: JUnit and TAP, narrowed */
int pack_main(int argc, char **argv);   /* `slipway host-pack`: tree to tar, narrowed */
