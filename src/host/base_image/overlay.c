/* Packages on top of a base: apt runs in a sandbox like a build (root of a user namespace, network,
 * limits), writing to an overlay's upper folder, which then becomes a layer. One job runs at a
 * time: they share one range of ids. A crash leaves a folder `.new-...` and a container that the
 * next start removes. */
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image_priv.h"
#include "io/loop.h"

#define STEP_MS (15 * 60 * 1000)
#define ROOM (2ll << 30)
#define TAIL_MAX 4096

struct overlay {
    struct host *host;
    struct job_listener listener;
    struct overlay *next; /* the queue; the first one runs */
    char *base, *digest, *name, *cgroup;
    char *bundle, *upper;
    struct packages packages;
    size_t step;
    int64_t bytes, units, units_done;
    struct buf line, tail;
    struct sandbox_run *run; /* while a step runs */
    bool killed;
    struct err err;
};
static struct overlay *queue;

static const char *const apt_update[] = {
    "/usr/bin/apt-get",        "-q",     "-o", "APT::Sandbox::User=root", "-o",
    "Acquire::Languages=none", "update", NULL};
static const char *const apt_install[] = {"/usr/bin/apt-get",
                                          "-q",
                                          "-y",
                                          "-o",
                                          "APT::Sandbox::User=root",
                                          "-o",
                                          "Dpkg::Options::=--force-unsafe-io",
                                          "--no-install-recommends",
                                          "install",
                                          NULL};
static const char *const apt_clean[] = {"/usr/bin/apt-get", "clean", NULL};
static const char *const forget[] = {"/bin/rm",
                                     "-rf",
                                     "/var/lib/apt/lists",
                                     "/var/log/apt",
                                     "/var/log/dpkg.log",
                                     "/var/log/alternatives.log",
                                     "/var/cache/debconf/templates.dat-old",
                                     NULL};
static const struct {
    const char *const *argv;
    const char *text;
    int percent;
    bool packages; /* append them */
} steps[] = {{apt_update, "reading package lists", 5, false},
             {apt_install, "installing build packages", 15, true},
             {apt_clean, "cleaning", 90, false},
             {forget, "cleaning", 92, false}};

static void overlay_run(void *context);

static void tell(struct overlay *o, const char *text, int percent)
{
    if (o->listener.progress)
        o->listener.progress(o->listener.context, text, percent);
}

static void overlay_free(struct overlay *o)
{
    artifact_discard(o->bundle);
    artifact_discard(o->upper);
    packages_done(&o->packages);
    buf_done(&o->line);
    buf_done(&o->tail);
    free(o->base);
    free(o->digest);
    free(o->name);
    free(o->cgroup);
    free(o->bundle);
    free(o->upper);
    free(o);
}

static void overlay_end(struct overlay *o)
{
    const struct err *error = o->err.kind == E_OK ? NULL : &o->err;
    ASSERT(queue == o);
    queue = o->next;
    if (queue)
        loop_defer(overlay_run, queue);
    if (o->bundle)
        sandbox_unmount(o->bundle);
    o->listener.done(o->listener.context, error ? NULL : o->digest, o->bytes, error);
    overlay_free(o);
}

static void adopt_work(void *context)
{
    struct overlay *o = context;
    AUTO_FREE char *layer = mem_format("%s/upper", o->upper);
    uint32_t range = settings_range(o->host->settings, 0, 1);
    if (shift_tree(layer, range, &o->bytes, &o->err) == 0 &&
        artifact_adopt_unpacked(layer, o->digest, o->base, o->bytes, &o->err) < 0)
        return; /* told by adopt_done */
}

static void adopt_done(void *context)
{
    overlay_end(context);
}

/* "12 newly installed" gives the units, each "Setting up X" is one. */
static void on_line(struct overlay *o, char *line)
{
    line[strcspn(line, "\r")] = '\0';
    const char *found = strstr(line, " newly installed");
    if (found) {
        const char *start = found;
        while (start > line && start[-1] >= '0' && start[-1] <= '9')
            start--;
        o->units = strtoll(start, NULL, 10);
    }
    if (!text_starts(line, "Setting up ") && !text_starts(line, "Unpacking "))
        return;
    o->units_done++;
    int64_t share = o->units > 0 ? o->units_done * 70 / (2 * o->units) : 0;
    tell(o, line, 15 + (int)(share > 70 ? 70 : share));
}

static void on_output(void *context, int stream, struct str data)
{
    struct overlay *o = context;
    (void)stream;
    err_ignore(buf_add_str(&o->tail, data));
    if (o->tail.length > TAIL_MAX)
        buf_consume(&o->tail, o->tail.length - TAIL_MAX);
    while (data.length > 0) {
        const char *end = memchr(data.data, '\n', data.length);
        size_t part = end ? (size_t)(end - data.data) : data.length;
        err_ignore(buf_add(&o->line, data.data, part)); /* past its ceiling: cut */
        if (end && o->line.length > 0)
            on_line(o, o->line.data);
        if (end)
            buf_clear(&o->line);
        data.data += part + (end != NULL);
        data.length -= part + (end != NULL);
    }
}

static const char *last_error(struct overlay *o)
{
    char *found = NULL;
    for (char *at = o->tail.data; at && (at = strstr(at, "E: ")) != NULL; at++)
        found = at;
    if (found)
        *strchrnul(found, '\n') = '\0';
    return found ? found : "no error line";
}

static void cancelled(struct overlay *o)
{
    (void)FAIL(&o->err, E_CANCELLED, "nobody waits for the build base any more");
    overlay_end(o);
}

void overlay_kill(struct overlay *o)
{
    o->killed = true; /* one that waits, or is between two steps, ends when it is its turn */
    if (o->run)
        sandbox_run_kill(o->run);
}

static void on_exit_step(void *context, const struct sandbox_run_result *r)
{
    struct overlay *o = context;
    const char *program = steps[o->step].argv[0];
    o->run = NULL;
    if (o->killed) {
        cancelled(o);
        return;
    }
    logins_hide(&o->tail);
    if (r->timed_out)
        (void)FAIL(&o->err, E_TIMEOUT, "installing build packages took longer than 15 minutes");
    else if (r->oom)
        (void)FAIL(&o->err, E_RESOURCE_MEMORY, "installing build packages ran out of memory");
    else if (r->exit_code != 0)
        (void)FAIL(&o->err, E_BASE_FAILED, "%s exited %d: %s", program, r->exit_code,
                   last_error(o));
    if (o->err.kind != E_OK) {
        log_warn("build base failed, telling who asked", F_STR("output", o->tail.data));
        overlay_end(o);
        return;
    }
    o->step++;
    loop_defer(overlay_run, o);
}

static void fill_spec(struct overlay *o, struct arena *arena, const struct artifact_root *root,
                      struct sandbox_spec *spec)
{
    const struct settings *s = o->host->settings;
    AUTO_JSON *env = json_object();
    size_t count = 0, total = o->packages.count;
    const char **argv = arena_alloc(arena, (16 + total) * sizeof(*argv));
    for (; steps[o->step].argv[count]; count++)
        argv[count] = steps[o->step].argv[count];
    for (size_t i = 0; steps[o->step].packages && i < total; i++)
        argv[count++] = o->packages.names[i];
    json_put_text(env, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    json_put_text(env, "DEBIAN_FRONTEND", "noninteractive");
    json_put_text(env, "LANG", "C.UTF-8");
    json_put_text(env, "HOME", "/root");
    base_image_outside(s, arena, env, spec->binds, &spec->bind_count);
    spec->name = o->name;
    spec->cgroup = o->cgroup;
    spec->folder = o->bundle;
    spec->lower = root->lower;
    spec->upper = o->upper;
    spec->range = settings_range(s, 0, 1);
    spec->argv = argv;
    spec->env = base_image_env(arena, env);
    spec->tmp_size = "512m";
    spec->caps = SANDBOX_CAPS_BUILD;
    spec->memory = s->build_memory;
    spec->pids = s->build_pids;
    spec->network = true;
}

static int run_step(struct overlay *o, struct err *err)
{
    struct artifact_root root = {0};
    struct sandbox_spec spec = {0};
    if (artifact_base_root(o->base, &root, err) < 0)
        return -1;
    fill_spec(o, &root.memory, &root, &spec);
    tell(o, steps[o->step].text, steps[o->step].percent);
    sandbox_cgroup_weight("base", BASE_WEIGHT);
    FAULT("base.overlay.step");
    int r = sandbox_run(&spec, STEP_MS, on_output, on_exit_step, o, &o->run, err);
    artifact_root_done(&root);
    return r;
}

static int make_folders(struct overlay *o, struct err *err)
{
    if (o->bundle)
        return 0;
    if (artifact_disk_room(ROOM, err) < 0 || artifact_unpack_temp(&o->upper, err) < 0)
        return -1;
    o->bundle = settings_data(o->host->settings, "host/bases/tmp-XXXXXX");
    return mkdtemp(o->bundle) ? 0 : FAIL_SYS(err, "cannot make '%s'", o->bundle);
}

static void overlay_run(void *context)
{
    struct overlay *o = context;
    if (o->killed) {
        cancelled(o);
        return;
    }
    if (o->step == ARRAY_SIZE(steps)) {
        sandbox_unmount(o->bundle);
        tell(o, "keeping the layer", 95);
        loop_work(adopt_work, adopt_done, o);
        return;
    }
    if (make_folders(o, &o->err) < 0 || run_step(o, &o->err) < 0)
        overlay_end(o);
}

int overlay_start(struct host *h, const char *base, const char *digest,
                  const struct packages *packages, const struct job_listener *listener,
                  struct overlay **ret_job, struct err *err)
{
    struct overlay *o = mem_alloc(sizeof(*o)), **last = &queue;
    if (packages->count == 0) {
        free(o);
        return FAIL(err, E_INTERNAL, "no packages to install");
    }
    o->host = h;
    o->listener = *listener;
    o->base = mem_strdup(base);
    o->digest = mem_strdup(digest);
    o->name = mem_format("base.%.12s", digest + strlen("sha256:"));
    o->cgroup = mem_format("base/%.12s", digest + strlen("sha256:"));
    buf_init(&o->line, 512);
    o->packages.names = mem_array(packages->count, sizeof(char *));
    for (; o->packages.count < packages->count; o->packages.count++)
        o->packages.names[o->packages.count] = mem_strdup(packages->names[o->packages.count]);
    while (*last)
        last = &(*last)->next;
    *last = o;
    *ret_job = o;
    if (queue == o)
        loop_defer(overlay_run, o);
    else
        tell(o, "waiting for another base", 0);
    return 0;
}
