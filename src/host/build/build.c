/* The builds of this host: who runs, who waits, who listens, and what is known of those that ended.
 *
 * A build in memory is one that waits or runs. When it ends, data_dir/host/builds/NAME/result.json
 * is written (before anybody is told), so that asking again gives the same answer; its output stays
 * beside it. A folder without a result is an unfinished build of a process before us: at start its
 * container, mounts and files go, and core, which asks again with the source, gets a new one. */
#include "host/build/build.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image.h"
#include "host/build/build_priv.h"
#include "host/build/volume.h"
#include "wire/doctor.h"
#include <sodium.h>

#define CASES_MAX 2000 /* of all checks of a build; a message holds 50,000 values */
#define CASE_BYTES_MAX (1ll << 20)

static struct host *the_host;
static struct map builds; /* name -> struct build: queued and running, in order of arrival */

/* Small things that the states use. */

uint32_t build_range(const struct build *b)
{
    return settings_range(b->host->settings, b->id_range, 1);
}

int64_t build_limit(const struct build *b, const char *name, int64_t ceiling)
{
    int64_t value = json_int(b->spec, name, 0);
    return value > 0 && value < ceiling ? value : ceiling;
}

/* Said once, at the top of the output: whoever asked for more would look for it elsewhere. */
static void note_limits(struct build *b)
{
    const struct settings *s = b->host->settings;
    const struct {
        const char *name, *setting;
        int64_t ceiling;
    } limits[] = {{"memory", "build_memory", s->build_memory},
                  {"pids", "build_pids", s->build_pids},
                  {"volume", "build_volume", s->build_volume},
                  {"seconds", "build_seconds", s->build_seconds}};
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        int64_t value = json_int(b->spec, limits[i].name, 0);
        if (value <= limits[i].ceiling)
            continue;
        AUTO_FREE char *text =
            mem_format("%s: %lld was asked for, %lld is the most here (setting %s)", limits[i].name,
                       (long long)value, (long long)limits[i].ceiling, limits[i].setting);
        output_note(b->output, text);
    }
}

int build_secret_value(const json_t *secret, struct secret *ret_value, struct err *err)
{
    const char *text = json_text(secret, "value_b64");
    size_t max = strlen(text), length = 0;
    AUTO_FREE unsigned char *data = mem_alloc(max + 1);
    const char *end = NULL;
    if (sodium_base642bin(data, max + 1, text, max, NULL, &length, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        (end && *end != '\0')) {
        explicit_bzero(data, max + 1);
        return FAIL(err, E_FIELD_INVALID, "secret '%s' is no base64", json_text(secret, "name"));
    }
    secret_set(ret_value, data, length);
    explicit_bzero(data, max + 1);
    return 0;
}

void build_tell(struct build *b, const char *event, json_t *args)
{
    AUTO_JSON *taken = args;
    if (!json_object_get(taken, "at"))
        json_put_int(taken, "at", clock_wall_ms(clock_system()));
    for (size_t i = 0; i < b->ticket_count; i++)
        if (ticket_alive(b->tickets[i]))
            ticket_event(b->tickets[i], event, json_incref(taken));
}

static void on_output_event(void *context, json_t *args)
{
    build_tell(context, "output", args);
}

/* The machine. */

void build_event(struct build *b, enum build_event event)
{
    int to;
    ASSERT(b->magic == BUILD_MAGIC);
    if (sm_next(&host_build_sm, b->state, (int)event, &to) != 0) {
        log_debug("build event refused", F_STR("build", b->name),
                  F_STR("state", sm_state_name(&host_build_sm, b->state)),
                  F_STR("event", host_build_sm.event_names[event]));
        return;
    }
    if (to != b->state)
        log_info("build", F_STR("build", b->name),
                 F_STR("state", sm_state_name(&host_build_sm, to)));
    timeline_turn(b, b->state, to);
    b->state = to;
    build_act(b);
}

void build_fail(struct build *b, const struct err *error)
{
    if (b->err.kind == E_OK && b->state != BUILD_CLEANING) {
        b->err = *error;
        if (b->output)
            output_note(b->output, error->text);
        log_info("build fails", F_STR("build", b->name), F_ERR(error));
    }
    build_event(b, BUILD_EVENT_FAIL);
}

static size_t running_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < builds.count; i++)
        count += ((struct build *)builds.entries[i].value)->state > BUILD_QUEUED;
    return count;
}

void build_start_next(void *context)
{
    (void)context;
    for (size_t i = 0; i < builds.count; i++) {
        struct build *b = builds.entries[i].value;
        if ((int64_t)running_count() >= the_host->settings->builds_parallel)
            return;
        if (b->state != BUILD_QUEUED)
            continue;
        b->begun_ms = clock_mono_ms(clock_system());
        b->begun_wall_ms = clock_wall_ms(clock_system());
        build_event(b, BUILD_EVENT_START);
        i = (size_t)-1; /* the table may have changed: from the front */
    }
}

/* Results. */

static char *folder_of(const char *name)
{
    AUTO_FREE char *below = mem_format("host/builds/%s", name);
    return settings_data(the_host->settings, below);
}

static json_t *result_ok(struct build *b)
{
    json_t *ok = json_object();
    json_put_text(ok, "artifact", b->artifact);
    json_put_text(ok, "layer", b->layer);
    json_put_text(ok, "base", b->base);
    json_put_int(ok, "bytes", b->layer_bytes);
    json_put_int(ok, "files", b->files);
    json_put(ok, "checks", json_incref(b->checks));
    json_put(ok, "steps", json_incref(b->timeline));
    json_put_int(ok, "ms", clock_mono_ms(clock_system()) - b->begun_ms);
    return ok;
}

static void result_write(struct build *b, json_t *ok)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/result.json", b->folder), *text = NULL;
    AUTO_JSON *result = json_object();
    json_put_text(result, "build", b->name);
    json_put_int(result, "app_env_id", b->app_env_id);
    json_put_int(result, "ended_at", clock_wall_ms(clock_system()));
    if (b->err.kind == E_OK) {
        json_put(result, "ok", json_incref(ok));
    } else {
        json_put(result, "failed", json_from_err(&b->err));
        json_put(result, "checks", json_incref(b->checks));
        json_put(result, "steps", json_incref(b->timeline));
    }
    text = json_print(result);
    FAULT("build.result");
    if (file_write(path, str_of(text), 0600, &err) < 0)
        log_warn("result of a build not written, it can be had only once", F_STR("build", b->name),
                 F_ERR(&err));
}

static void build_free(struct build *b)
{
    output_free(b->output);
    mask_done(&b->mask);
    json_decref(b->spec);
    json_decref(b->checks);
    json_decref(b->timeline);
    json_decref(b->provenance);
    if (b->source_fd >= 0)
        (void)close(b->source_fd); /* read only */
    free(b->tickets);
    free(b->cancels);
    free(b->blob_path);
    free(b->name);
    free(b->app);
    free(b->app_env);
    free(b->folder);
    free(b->bundle);
    free(b->image);
    free(b->mount);
    free(b->secrets);
    b->magic = 0;
    free(b);
}

static void answer_all(struct build *b, json_t *ok)
{
    for (size_t i = 0; i < b->ticket_count; i++) {
        if (b->err.kind == E_OK)
            ticket_ok(b->tickets[i], json_incref(ok));
        else
            ticket_fail(b->tickets[i], &b->err);
    }
    for (size_t i = 0; i < b->cancel_count; i++)
        ticket_ok(b->cancels[i], NULL);
}

/* app_env.forget: answered when the last of its builds has ended, which would else leave output and
 * a cache behind, and run on with ids that are another's by then. */
struct forgetting {
    int64_t app_env_id;
    struct ticket *ticket;
    struct forgetting *next;
};
static struct forgetting *forgettings;

static bool is_building(int64_t app_env_id)
{
    for (size_t i = 0; i < builds.count; i++) {
        const struct build *b = builds.entries[i].value;
        if (b->app_env_id == app_env_id)
            return true;
    }
    return false;
}

static void forget_ended(void)
{
    for (struct forgetting **at = &forgettings; *at;) {
        struct forgetting *f = *at;
        if (is_building(f->app_env_id)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        build_keep_forget(f->app_env_id);
        cache_forget(f->app_env_id);
        ticket_ok(f->ticket, NULL);
        free(f);
    }
}

void build_finish(struct build *b)
{
    AUTO_JSON *ok = b->err.kind == E_OK ? result_ok(b) : NULL;
    ASSERT(b->pending == BUILD_IDLE);
    output_free(TAKE(b->output)); /* the file is whole before the result is */
    result_write(b, ok);
    (void)map_remove(&builds, b->name);
    answer_all(b, ok);
    build_free(b);
    forget_ended();
    loop_defer(build_start_next, NULL);
}

static void tell_again(struct ticket *t, const json_t *checks, const json_t *timeline)
{
    json_t *steps = json_object();
    json_put(steps, "steps", json_deep_copy(timeline));
    json_put_bool(steps, "again", true);
    ticket_event(t, "steps", steps);
    size_t i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
    {
        json_t *args = json_copy(check);
        json_put_int(args, "at", clock_wall_ms(clock_system()));
        json_put_bool(args, "again", true);
        ticket_event(t, "check", args);
    }
}

/* The answer of a build that ended: 0, or 1 when there is none. An artifact that retention took
 * makes the result worthless. */
static int answer_from_result(const char *name, struct message *m)
{
    AUTO_FREE char *folder = folder_of(name);
    AUTO_JSON *result = build_result_read(folder);
    struct err failed = ERR_INIT;
    int64_t app_env_id = json_int(m->args, "app_env_id", 0);
    if (!result || json_int(result, "app_env_id", 0) != app_env_id)
        return 1; /* a removed app may have had the same names */
    json_t *ok = json_object_get(result, "ok");
    if (json_is_object(ok)) {
        const char *artifact = json_text_or(ok, "artifact", "");
        if (!str_is_digest(str_of(artifact)) || !artifact_blob_exists(artifact))
            return 1;
        message_ok(m, json_incref(ok));
        return 0;
    }
    json_to_err(json_dict(result, "failed"), &failed);
    struct ticket *t = message_ticket(m);
    /* an error has no room for them */
    tell_again(t, json_list(result, "checks"), json_list(result, "steps"));
    ticket_fail(t, &failed);
    return 0;
}

/* build.run */

static int make_masks(struct build *b, struct err *err)
{
    size_t i;
    json_t *secret;
    json_array_foreach(json_list(b->spec, "secrets"), i, secret)
    {
        AUTO_SECRET value = {0};
        if (build_secret_value(secret, &value, err) < 0)
            return -1;
        mask_add(&b->mask, secret_str(&value));
    }
    for (size_t n = 0; base_image_password(n); n++)
        mask_add(&b->mask, str_of(base_image_password(n)));
    return 0;
}

static int make_folders(struct build *b, struct err *err)
{
    artifact_discard(b->folder); /* of a result that is worth nothing any more */
    if (file_make_dirs(b->folder, 0700, err) < 0 || file_make_dirs(b->bundle, 0700, err) < 0)
        return -1;
    return output_new(b->folder, &b->mask, on_output_event, b, &b->output, err);
}

static struct build *build_new(struct message *m)
{
    struct build *b = mem_alloc(sizeof(*b));
    const char *name = json_text(m->args, "build");
    AUTO_FREE char *mount = mem_format("vol/build/%s", name);
    AUTO_FREE char *secrets = mem_format("vol/secrets/%s", name);
    b->magic = BUILD_MAGIC;
    b->host = the_host;
    b->capture_fd = -1;
    b->name = mem_strdup(name);
    b->app = mem_strdup(json_text(m->args, "app"));
    b->app_env = mem_strdup(json_text(m->args, "app_env"));
    b->app_env_id = json_int(m->args, "app_env_id", 0);
    b->spec = json_incref(json_dict(m->args, "spec"));
    b->source_fd = -1;
    b->state = host_build_sm.initial;
    b->folder = folder_of(name);
    b->bundle = mem_format("%s/bundle", b->folder);
    b->image = mem_format("%s/volume", b->folder);
    b->mount = settings_run(the_host->settings, mount);
    b->secrets = settings_run(the_host->settings, secrets);
    b->checks = json_array();
    b->timeline = json_array();
    b->cases_left = CASES_MAX;
    b->case_bytes_left = CASE_BYTES_MAX;
    mask_init(&b->mask);
    return b;
}

static void listen_to(struct build *b, struct message *m)
{
    b->tickets = mem_resize(b->tickets, b->ticket_count + 1, sizeof(*b->tickets));
    b->tickets[b->ticket_count++] = message_ticket(m);
}

/* Who listens again was away: what the others were told of checks and steps, and what is waited
 * for. */
static void tell_missed(struct ticket *t, const struct build *b)
{
    tell_again(t, b->checks, b->timeline);
    if (b->pending != BUILD_ON_SOURCE)
        return;
    json_t *args = json_object();
    json_put_int(args, "attempt", b->source_attempts);
    ticket_event(t, "source", args);
}

static int check_args(struct message *m, struct err *err)
{
    const char *name = json_text(m->args, "build");
    if (!build_name_ok(name) || !build_name_ok(json_text(m->args, "app_env")))
        return FAIL(err, E_NAME_INVALID, "'%s' cannot be the name of a build", name);
    return 0;
}

static int begin(struct message *m, struct err *err)
{
    const char *name = json_text(m->args, "build");
    int64_t id_range = 0;
    if (json_object_size(json_dict(m->args, "spec")) == 0)
        return FAIL(err, E_NOT_FOUND, "no build '%s' is known here", name);
    if (base_image_ready(err) < 0 ||
        host_id_range(the_host->settings, m->args, &id_range, err) < 0 ||
        build_spec_check(json_dict(m->args, "spec"), err) < 0 || artifact_disk_room(0, err) < 0)
        return -1;
    struct build *b = build_new(m);
    b->id_range = id_range;
    if (make_masks(b, err) < 0 || make_folders(b, err) < 0) {
        build_free(b);
        return -1;
    }
    FAULT("build.begin");
    listen_to(b, m);
    note_limits(b);
    (void)map_put(&builds, name, b); /* there was none */
    timeline_begin(b, "phase", "base");
    build_act(b);
    return 0;
}

void build_verb_run(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    const char *name = json_text(m->args, "build");
    (void)context; /* the one host of this process */
    if (check_args(m, &err) < 0) {
        message_fail(m, &err);
        return;
    }
    struct build *b = map_get(&builds, name);
    if (b) {
        listen_to(b, m);
        tell_missed(b->tickets[b->ticket_count - 1], b);
    } else if (answer_from_result(name, m) != 0 && begin(m, &err) < 0) {
        message_fail(m, &err);
    }
}

/* build.source */

void build_verb_source(void *context, struct message *m)
{
    struct build *b = map_get(&builds, json_text(m->args, "build"));
    json_t *ok = json_object();
    bool wanted = b && b->pending == BUILD_ON_SOURCE;
    (void)context; /* the one host of this process */
    json_put_bool(ok, "taken", wanted);
    message_ok(m, ok);
    if (wanted)
        build_source_take(b, TAKE_FD(m->fds[0]));
}

/* build.cancel, build.output */

void build_verb_cancel(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct build *b = map_get(&builds, json_text(m->args, "build"));
    (void)context; /* the one host of this process */
    if (!b) {
        message_ok(m, NULL); /* ended or never begun: nothing of it runs */
        return;
    }
    b->cancels = mem_resize(b->cancels, b->cancel_count + 1, sizeof(*b->cancels));
    b->cancels[b->cancel_count++] = message_ticket(m);
    (void)FAIL(&err, E_CANCELLED, "the build was cancelled");
    build_fail(b, &err);
}

void build_verb_output(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    const char *name = json_text(m->args, "build");
    json_t *reply = NULL;
    (void)context; /* the one host of this process */
    if (!build_name_ok(name)) {
        (void)FAIL(&err, E_NAME_INVALID, "'%s' cannot be the name of a build", name);
        message_fail(m, &err);
        return;
    }
    AUTO_FREE char *folder = folder_of(name);
    if (output_read(folder, json_int(m->args, "offset", 0), &reply, &err) < 0) {
        message_fail(m, &err);
        return;
    }
    bool last = json_int(reply, "next", 0) >= json_int(reply, "size", 0);
    json_put_bool(reply, "end", last && !map_get(&builds, name));
    message_ok(m, reply);
}

/* Retention. */

static bool build_in_use(void *context, const char *digest)
{
    (void)context;
    for (size_t i = 0; i < builds.count; i++) {
        const struct build *b = builds.entries[i].value;
        if (strcmp(b->base, digest) == 0 || strcmp(b->build_base, digest) == 0 ||
            strcmp(b->layer, digest) == 0 || strcmp(b->artifact, digest) == 0)
            return true;
    }
    return false;
}

void build_each(build_each_fn *fn, void *context)
{
    AUTO_FREE char *root = settings_data(the_host->settings, "host/builds");
    DIR *dir = opendir(root);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *folder = mem_format("%s/%s", root, e->d_name);
        if (e->d_name[0] != '.')
            fn(folder, e->d_name, context);
    }
    if (dir)
        (void)closedir(dir); /* read only */
}

bool build_is_here(const char *name)
{
    return map_get(&builds, name) != NULL;
}

static void build_sweep(void *context, struct artifact_sweep *sweep)
{
    (void)context;
    build_keep_sweep(sweep);
    cache_sweep(sweep);
}

/* app_env.forget */

void build_verb_forget(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    int64_t app_env_id = json_int(m->args, "app_env_id", 0);
    (void)context; /* the one host of this process */
    (void)FAIL(&err, E_CANCELLED, "the app was removed");
    for (size_t i = builds.count; i > 0; i--) {
        struct build *b = builds.entries[i - 1].value;
        if (b->app_env_id == app_env_id)
            build_fail(b, &err);
    }
    struct forgetting *f = mem_alloc(sizeof(*f));
    *f = (struct forgetting){app_env_id, message_ticket(m), forgettings};
    forgettings = f;
    forget_ended();
}

/* Start and end. */

static void clear_unfinished(const char *folder, const char *name, void *context)
{
    AUTO_FREE char *result = mem_format("%s/result.json", folder);
    AUTO_FREE char *bundle = mem_format("%s/bundle", folder);
    (void)context;
    if (file_exists(result))
        return;
    log_info("clearing an unfinished build", F_STR("build", name));
    sandbox_unmount(bundle);
    artifact_discard(folder);
}

static void clear_containers(void)
{
    AUTO_JSON *groups = sandbox_cgroup_list();
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        const char *cgroup = json_string_value(group);
        if (text_starts(cgroup, "build/"))
            sandbox_delete(cgroup + strlen("build/"), cgroup, NULL, NULL);
    }
}

static int clear_mounts(struct err *err)
{
    AUTO_FREE char *root = settings_data(the_host->settings, "host/builds/");
    AUTO_FREE char *cached = settings_data(the_host->settings, "host/caches/");
    AUTO_FREE char *volumes = settings_run(the_host->settings, "vol");
    volume_release_all(root);
    volume_release_all(cached);
    return file_make_dirs(volumes, 0711, err);
}

int build_init(struct host *h, struct err *err)
{
    AUTO_FREE char *root = settings_data(h->settings, "host/builds");
    the_host = h;
    map_init(&builds);
    cache_init(h);
    if (sodium_init() < 0)
        return FAIL(err, E_INTERNAL, "cannot start libsodium");
    if (file_make_dirs(root, 0700, err) < 0 || clear_mounts(err) < 0)
        return err_wrap(err, "builds");
    clear_containers();
    build_each(clear_unfinished, NULL);
    artifact_add_user(&(struct artifact_user){.in_use = build_in_use, .sweep = build_sweep});
    return 0;
}

void build_shutdown(struct host *h)
{
    struct err err = ERR_INIT;
    (void)h; /* the one host of this process */
    for (size_t i = 0; i < builds.count; i++) {
        const struct build *b = builds.entries[i].value;
        AUTO_FREE char *cgroup = mem_format("build/%s", b->name);
        if (b->state <= BUILD_QUEUED)
            continue;
        if (sandbox_cgroup_remove(cgroup, &err) < 0)
            log_warn("processes of a build not ended, the next start will", F_ERR(&err));
        sandbox_unmount(b->bundle);
        if (b->mounted)
            volume_drop(b->mount);
    }
}

/* Doctor, df, dump. */

void build_doctor(struct host *h, json_t *checks)
{
    bool loop = access("/dev/loop-control", R_OK | W_OK) == 0;
    bool mkfs = access("/usr/sbin/mkfs.ext4", X_OK) == 0;
    (void)h; /* the one host of this process */
    doctor_push(checks, "builds: loop devices", loop,
                loop ? "there" : "/dev/loop-control cannot be opened", "modprobe loop");
    doctor_push(checks, "builds: mkfs.ext4", mkfs, mkfs ? "installed" : "mkfs.ext4 is missing",
                "apt-get install e2fsprogs");
}

static void add_size(const char *folder, const char *name, void *context)
{
    static const char *const names[] = {"output", "output.tail", "volume", "result.json"};
    int64_t *sums = context;
    struct stat st;
    (void)name;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, names[i]);
        if (stat(path, &st) != 0)
            continue;
        sums[0] += st.st_blocks * 512;
        sums[1]++;
    }
}

void build_df(struct host *h, json_t *volumes)
{
    int64_t sums[2] = {0, 0};
    AUTO_FREE char *root = settings_data(h->settings, "host/builds");
    json_t *one = json_object();
    build_each(add_size, sums);
    json_put_text(one, "what", "builds");
    json_put_text(one, "path", root);
    json_put_int(one, "bytes", sums[0]);
    json_put_int(one, "files", sums[1]);
    json_push(volumes, one);
    cache_df(h, volumes);
}

json_t *build_dump(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < builds.count; i++) {
        const struct build *b = builds.entries[i].value;
        json_t *one = json_object();
        json_put_text(one, "build", b->name);
        json_put_text(one, "state", sm_state_name(&host_build_sm, b->state));
        json_put_int(one, "step", (int64_t)b->step);
        json_put_int(one, "listeners", (int64_t)b->ticket_count);
        json_put_int(one, "output", output_size(b->output));
        json_push(list, one);
    }
    return list;
}
