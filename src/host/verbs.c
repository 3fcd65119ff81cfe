/* The verbs of the host: one table, one gate.
 *
 * A channel's first verb is hello; it becomes core's channel when its epoch is not smaller than the
 * largest seen (which outlives us in data_dir/host/epoch), and closes the one before. Every other
 * verb is refused on any other channel. */
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image.h"
#include "host/build/build.h"
#include "host/edge/edge.h"
#include "host/host_priv.h"
#include "host/instance/instance.h"
#include "host/sandbox/sandbox.h"
#include "io/narrow_role.h"
#include "wire/doctor.h"
#include "wire/host.h"

static void verb_hello(void *context, struct message *m);
static void verb_df(void *context, struct message *m);
/* The courier has no doctor of its own: the kernel is the same. */
static void doctor_git(json_t *checks)
{
    int version = narrow_landlock();
    bool enough = version >= NARROW_LANDLOCK_NEEDED;
    AUTO_FREE char *text = version ? mem_format("Landlock version %d", version)
                                   : mem_strdup("this kernel has no Landlock");
    doctor_push(checks, "git confinement", enough, text,
                "git can write to all repositories: take a kernel of 5.19 or newer with landlock "
                "among its security modules (lsm=)");
}

static void verb_doctor(void *context, struct message *m);
static void verb_dump(void *context, struct message *m);
static void verb_fault(void *context, struct message *m);

#define NO_FDS 0
#define ONE_FD 1
static const struct message_verb table[] = {
    {WIRE("hello", host_hello), NO_FDS, verb_hello},
    {WIRE("base.ensure", host_base_ensure), NO_FDS, base_image_verb_ensure},
    {WIRE("build.run", host_build_run), NO_FDS, build_verb_run},
    {WIRE("build.source", host_build_source), ONE_FD, build_verb_source},
    {WIRE("build.cancel", host_build_cancel), NO_FDS, build_verb_cancel},
    {WIRE("build.output", host_build_output), NO_FDS, build_verb_output},
    {WIRE("app_env.forget", host_app_env_forget), NO_FDS, build_verb_forget},
    {WIRE("release.prepare", host_release_prepare), NO_FDS, artifact_verb_prepare},
    {WIRE("artifact.stat", host_artifact_stat), NO_FDS, artifact_verb_stat},
    {WIRE("artifact.provenance", host_artifact_provenance), NO_FDS, artifact_verb_provenance},
    {WIRE("retention", host_retention), NO_FDS, artifact_verb_retention},
    {WIRE("instance.start", host_instance_start), NO_FDS, instance_verb_start},
    {WIRE("instance.stop", host_instance_stop), NO_FDS, instance_verb_stop},
    {WIRE("instance.list", host_instance_list), NO_FDS, instance_verb_list},
    {WIRE("edge.apply", host_edge_apply), NO_FDS, edge_verb_apply},
    {WIRE("edge.remove", host_edge_remove), NO_FDS, edge_verb_remove},
    {WIRE("edge.drained", host_edge_drained), NO_FDS, edge_verb_drained},
    {WIRE("edge.certificate", host_edge_certificate), NO_FDS, edge_verb_certificate},
    {WIRE("edge.stat", host_edge_stat), NO_FDS, edge_verb_stat},
    {WIRE("journal.head", host_journal_head), NO_FDS, journal_verb_head},
    {WIRE("journal.heads", host_journal_heads), ONE_FD, journal_verb_heads},
    {WIRE("df", host_df), NO_FDS, verb_df},
    {WIRE("doctor", host_doctor), NO_FDS, verb_doctor},
    {WIRE("dump", host_dump), NO_FDS, verb_dump},
    {WIRE("fault", host_fault), NO_FDS, verb_fault},
};
static struct message_verb gated[ARRAY_SIZE(table)];

/* Only core's present channel gets through. */
static void gate(void *context, struct message *m)
{
    struct host *h = context;
    struct err err = ERR_INIT;
    size_t i = 0;
    while (!text_is(table[i].verb, m->verb))
        i++; /* it is in the table: the channel found it there */
    check_command(m->verb);
    if (table[i].handle == verb_hello || m->channel == h->core) {
        table[i].handle(h, m);
    } else {
        (void)FAIL(&err, E_PROTOCOL, "'%s' came before hello", m->verb);
        message_fail(m, &err);
    }
    check_command("");
}

void verbs_handlers(struct host *h, struct channel_handlers *ret_handlers)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        gated[i] = table[i];
        gated[i].handle = gate;
    }
    *ret_handlers = (struct channel_handlers){
        .verbs = gated, .verb_count = ARRAY_SIZE(gated), .on_close = verbs_closed, .context = h};
}

/* Core. */

void host_notify(struct host *h, const char *verb, json_t *args)
{
    if (h->core)
        channel_notify(h->core, verb, args, NULL, 0);
    else
        json_decref(args);
}

void verbs_closed(void *context, struct channel *c)
{
    struct host *h = context;
    if (c != h->core)
        return;
    log_info("core has gone");
    h->core = NULL;
}

int verbs_epoch_load(struct host *h, struct err *err)
{
    AUTO_FREE char *path = settings_data(h->settings, "host/epoch");
    AUTO_BUF text = BUF_INIT(64);
    if (!file_exists(path))
        return 0;
    if (file_read(path, 64, &text, err) < 0)
        return -1;
    return str_to_int(str_trim(buf_str(&text)), 1, INT64_MAX, "epoch", &h->epoch, err);
}

static int epoch_store(struct host *h, int64_t epoch, struct err *err)
{
    AUTO_FREE char *path = settings_data(h->settings, "host/epoch");
    AUTO_FREE char *text = mem_format("%lld", (long long)epoch);
    FAULT("host.epoch");
    if (epoch > h->epoch && file_write(path, str_of(text), 0600, err) < 0)
        return -1;
    h->epoch = epoch;
    return 0;
}

static void verb_hello(void *context, struct message *m)
{
    struct host *h = context;
    struct err err = ERR_INIT;
    int64_t epoch = json_int(m->args, "epoch", 0);
    int64_t protocol = json_int(m->args, "protocol", 0);
    if (protocol < WIRE_PROTOCOL - 1 || protocol > WIRE_PROTOCOL + 1)
        (void)FAIL(&err, E_PROTOCOL, "protocol %d is not understood, ours is %d", (int)protocol,
                   WIRE_PROTOCOL);
    else if (epoch < h->epoch)
        (void)FAIL(&err, E_EPOCH_STALE, "epoch %lld is over, the newest is %lld", (long long)epoch,
                   (long long)h->epoch);
    else
        (void)epoch_store(h, epoch, &err); /* err says it */
    if (err.kind != E_OK) {
        log_warn("refusing a core", F_ERR(&err), F_INT("pid", channel_peer_pid(m->channel)));
        message_fail(m, &err);
        channel_free(m->channel);
        return;
    }
    if (h->core && h->core != m->channel)
        channel_free(h->core);
    h->core = m->channel;
    log_info("core is here", F_INT("epoch", epoch), F_INT("pid", channel_peer_pid(m->channel)));
    json_t *ok = json_object();
    json_put_text(ok, "installation", h->settings->id);
    json_put_int(ok, "protocol", WIRE_PROTOCOL);
    json_put_text(ok, "boot", h->boot);
    json_put_int(ok, "processors", sysconf(_SC_NPROCESSORS_ONLN));
    message_ok(m, ok);
}

/* The rest. */

static void verb_df(void *context, struct message *m)
{
    struct host *h = context;
    struct statvfs info = {0};
    json_t *ok = json_object();
    json_t *volumes = json_array();
    artifact_df(h, volumes);
    build_df(h, volumes);
    instance_df(volumes);
    (void)statvfs(h->settings->data_dir, &info); /* zeros when it fails */
    json_put(ok, "volumes", volumes);
    json_put_int(ok, "free", (int64_t)info.f_bavail * (int64_t)info.f_frsize);
    json_put_int(ok, "total", (int64_t)info.f_blocks * (int64_t)info.f_frsize);
    message_ok(m, ok);
}

static void verb_doctor(void *context, struct message *m)
{
    struct host *h = context;
    json_t *ok = json_object();
    json_t *checks = json_array();
    sandbox_doctor(checks);
    instance_doctor(checks);
    artifact_doctor(h, checks);
    base_image_doctor(h, checks);
    build_doctor(h, checks);
    edge_doctor(h, checks);
    journal_doctor(checks);
    doctor_git(checks);
    json_put(ok, "checks", checks);
    message_ok(m, ok);
}

static void verb_dump(void *context, struct message *m)
{
    struct host *h = context;
    json_t *ok = json_object();
    json_t *dump = json_object();
    json_put_int(dump, "epoch", h->epoch);
    json_put_text(dump, "boot", h->boot);
    json_put(dump, "instance", instance_dump());
    json_put(dump, "build", build_dump());
    json_put(dump, "edge", edge_dump());
    json_put(ok, "dump", dump);
    message_ok(m, ok);
}

static void verb_fault(void *context, struct message *m)
{
    (void)context;
#ifdef SLIPWAY_FAILPOINTS
    int64_t nth = json_int(m->args, "nth", 0);
    json_t *points = json_object();
    fault_arm(nth > 0 ? json_text(m->args, "point") : NULL, nth);
    for (size_t i = 0; i < fault_count(); i++) {
        int64_t hits;
        const char *point = fault_point(i, &hits);
        json_put_int(points, point, hits);
    }
    json_t *ok = json_object();
    json_put(ok, "points", points); /* passed so far: how a run lists them */
    message_ok(m, ok);
#else
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_PROTOCOL, "this build has no failpoints");
    message_fail(m, &err);
#endif
}
