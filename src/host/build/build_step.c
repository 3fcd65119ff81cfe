/* Steps and checks: one container run after the other on the same root (the overlay's upper and the
 * tree live on the build's volume, so what one step installs the next one sees). A check is a step
 * with a report. */
#include <errno.h>
#include <fcntl.h>
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
#include "host/build/report.h"
#include "host/build/volume.h"
#include "host/narrow/narrow.h"

#define READ_WINDOW (4ll << 20) /* bytes of output read in ... */
#define THROTTLE_MS 100         /* ... this time: 40 MiB/s */
#define WATCH_MS 1000
#define PIDS_BOMB 200  /* refused forks a second ... */
#define PIDS_SECONDS 3 /* ... for so long: a fork bomb */
#define NEARLY_FULL (4ll << 20)
#define REPORT_MS 60000
#define BUILD_WEIGHT 10 /* of all builds together; an app-env has 100: what runs comes first */
#define MIB (1024 * 1024)

static const json_t *current(const struct build *b)
{
    const char *list = b->state == BUILD_STEPS ? "steps" : "checks";
    return json_array_get(json_list(b->spec, list), b->step);
}

static const char *workdir(const struct build *b)
{
    return json_text_or(b->spec, "workdir", "/app");
}

/* The container's spec. */

static int add_secrets(struct build *b, struct arena *arena, struct sandbox_spec *spec, json_t *env,
                       struct err *err)
{
    size_t i;
    json_t *secret;
    if (!b->secrets_mounted)
        return 0;
    spec->binds[spec->bind_count++] =
        (struct sandbox_bind){.source = b->secrets, .target = "/run/secrets"};
    spec->config = arena_format(arena, "%s/.config.json", b->secrets); /* no secret's name */
    json_array_foreach(json_list(b->spec, "secrets"), i, secret)
    {
        AUTO_SECRET value = {0};
        if (json_bool(secret, "file", false))
            continue;
        if (build_secret_value(secret, &value, err) < 0)
            return -1;
        json_put_str(env, json_text(secret, "name"), secret_str(&value));
    }
    return 0;
}

static int add_caches(struct build *b, struct arena *arena, struct sandbox_spec *spec,
                      struct err *err)
{
    size_t i;
    json_t *path;
    json_array_foreach(json_list(b->spec, "cache"), i, path)
    {
        AUTO_FREE char *folder = NULL;
        const char *target = json_string_value(path);
        if (!b->cache)
            break;
        if (cache_folder(b->cache, target, build_range(b), &folder, err) < 0)
            return -1;
        spec->binds[spec->bind_count++] = (struct sandbox_bind){
            .source = arena_dup(arena, str_of(folder)), .target = target, .writable = true};
    }
    return 0;
}

static void add_env(struct build *b, json_t *env)
{
    const char *name;
    json_t *value;
    json_put_text(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    json_put_text(env, "HOME", "/root");
    json_put_text(env, "LANG", "C.UTF-8");
    json_put_text(env, "CI", "true");
    json_put_text(env, "SLIPWAY_APP", b->app);
    json_put_text(env, "SLIPWAY_BUILD", b->name);
    AUTO_FREE char *epoch = mem_format("%lld", (long long)b->epoch);
    json_put_text(env, "SOURCE_DATE_EPOCH", epoch);
    json_object_foreach(json_dict(b->spec, "env"), name, value)
        json_put(env, name, json_incref(value));
}

static const char *const *arguments(struct arena *arena, const json_t *run)
{
    size_t count = json_array_size(run);
    const char **argv = arena_alloc(arena, (count + 1) * sizeof(*argv));
    for (size_t i = 0; i < count; i++)
        argv[i] = json_string_value(json_array_get(run, i));
    return argv;
}

static int fill_spec(struct build *b, struct artifact_root *root, struct sandbox_spec *spec,
                     struct err *err)
{
    const struct settings *s = b->host->settings;
    struct arena *arena = &root->memory;
    AUTO_JSON *env = json_object();
    for (; spec->bind_count < root->bind_count; spec->bind_count++)
        spec->binds[spec->bind_count] = root->binds[spec->bind_count];
    base_image_outside(s, arena, env, spec->binds, &spec->bind_count);
    base_image_mirrors(s, arena, env, spec->binds, &spec->bind_count);
    spec->binds[spec->bind_count++] = (struct sandbox_bind){
        .source = arena_format(arena, "%s/tree", b->mount), .target = workdir(b), .writable = true};
    add_env(b, env);
    if (add_secrets(b, arena, spec, env, err) < 0 || add_caches(b, arena, spec, err) < 0)
        return -1;
    spec->name = b->name;
    spec->cgroup = arena_format(arena, "build/%s", b->name);
    spec->folder = b->bundle;
    spec->lower = root->lower;
    spec->upper = arena_format(arena, "%s/root", b->mount);
    spec->range = build_range(b);
    spec->argv = arguments(arena, json_list(current(b), "run"));
    spec->env = base_image_env(arena, env);
    spec->cwd = workdir(b);
    spec->tmp_size = "512m";
    spec->caps = SANDBOX_CAPS_BUILD;
    spec->memory = build_limit(b, "memory", s->build_memory);
    spec->pids = build_limit(b, "pids", s->build_pids);
    spec->network = json_bool(b->spec, "network", true);
    return 0;
}

/* Output and limits while it runs. */

static void on_throttle(void *context)
{
    struct build *b = context;
    b->read_window = 0;
    if (b->pending == BUILD_ON_RUN)
        sandbox_run_pause_output(b->run, false);
}

static void capture(struct build *b, struct str data)
{
    if (b->capture_fd < 0 || b->captured + (int64_t)data.length > REPORT_BYTES_MAX)
        return;
    ssize_t n = write(b->capture_fd, data.data, data.length);
    b->captured += n > 0 ? n : 0; /* a short report is found out by its plan */
}

static void on_output(void *context, int stream, struct str data)
{
    struct build *b = context;
    ASSERT(b->magic == BUILD_MAGIC);
    if (stream == 1)
        capture(b, data);
    output_add(b->output, stream, data);
    b->read_window += (int64_t)data.length;
    if (b->read_window < READ_WINDOW || b->throttle)
        return;
    sandbox_run_pause_output(b->run, true);
    timer_start(&b->throttle, THROTTLE_MS, 0, on_throttle, b);
}

static void on_watch(void *context)
{
    struct build *b = context;
    struct sandbox_hits hits = {0};
    struct err err = ERR_INIT;
    AUTO_FREE char *cgroup = mem_format("build/%s", b->name);
    if (b->pending != BUILD_ON_RUN)
        return;
    sandbox_hits(cgroup, &hits);
    b->pids_seconds = hits.pids - b->pids_hits > PIDS_BOMB ? b->pids_seconds + 1 : 0;
    b->pids_hits = hits.pids;
    if (b->pids_seconds < PIDS_SECONDS)
        return;
    (void)FAIL(&err, E_RESOURCE_PIDS,
               "step '%s' was killed: it kept forking at its limit of %lld "
               "processes",
               json_text(current(b), "name"),
               (long long)build_limit(b, "pids", b->host->settings->build_pids));
    build_fail(b, &err);
}

/* How a step ended: an error for what stops the build, E_OK for exit code 0. */
static void judge(struct build *b, const struct sandbox_run_result *r, struct err *err)
{
    const struct settings *s = b->host->settings;
    const char *name = json_text(current(b), "name");
    struct err room = ERR_INIT;
    int64_t bytes = NEARLY_FULL, files = 1000;
    if (r->timed_out || r->exit_code == 0)
        return;                                               /* the deadline speaks for itself */
    err_ignore(volume_room(b->mount, &bytes, &files, &room)); /* unknown: not full */
    if (r->oom)
        (void)FAIL(err, E_RESOURCE_MEMORY, "step '%s' ran out of memory: its limit is %lld MiB",
                   name, (long long)(build_limit(b, "memory", s->build_memory) / MIB));
    else if (bytes < NEARLY_FULL || files < 10)
        (void)FAIL(err, E_RESOURCE_DISK,
                   "step '%s' exited %d: the build's volume of %lld MiB is full", name,
                   r->exit_code, (long long)(build_limit(b, "volume", s->build_volume) / MIB));
    else if (r->pids_hit)
        (void)FAIL(err, E_RESOURCE_PIDS,
                   "step '%s' exited %d after it hit its limit of %lld processes", name,
                   r->exit_code, (long long)build_limit(b, "pids", s->build_pids));
    else
        (void)FAIL(err, E_BUILD_FAILED, "step '%s' exited %d", name, r->exit_code);
}

static int64_t step_ms(const struct build *b)
{
    return clock_mono_ms(clock_system()) - b->step_started_ms;
}

static int run_current(struct build *b, void (*on_exit)(void *, const struct sandbox_run_result *),
                       struct err *err)
{
    struct artifact_root root = {0};
    struct sandbox_spec spec = {0};
    int64_t left = b->deadline_ms - clock_mono_ms(clock_system());
    if (artifact_base_root(b->build_base, &root, err) < 0)
        return -1;
    int r = fill_spec(b, &root, &spec, err);
    if (r == 0) {
        output_step(b->output, json_text(current(b), "name"));
        b->step_started_ms = clock_mono_ms(clock_system());
        b->step_began_ms = clock_wall_ms(clock_system());
        b->pids_hits = 0;
        b->pids_seconds = 0;
        sandbox_cgroup_weight("build", BUILD_WEIGHT);
        FAULT("build.step");
        r = sandbox_run(&spec, (left > 0 ? left : 0) + 1000, on_output, on_exit, b, &b->run, err);
    }
    artifact_root_done(&root);
    if (r == 0)
        b->pending = BUILD_ON_RUN;
    return r;
}

/* A run ended: true when the build is failing anyway. */
static bool run_ended(struct build *b)
{
    b->run = NULL;
    timer_free(&b->throttle);
    if (b->capture_fd >= 0)
        (void)close(TAKE_FD(b->capture_fd)); /* read back by path: a short one shows there */
    return build_arrived(b);
}

static void begin(struct build *b, void (*on_exit)(void *, const struct sandbox_run_result *))
{
    struct err err = ERR_INIT;
    const char *name = json_text(current(b), "name");
    timeline_begin(b, b->state == BUILD_STEPS ? "step" : "check", name);
    if (!b->watch)
        timer_start(&b->watch, WATCH_MS, WATCH_MS, on_watch, b);
    if (run_current(b, on_exit, &err) < 0) {
        (void)err_wrap(&err, "step '%s'", name);
        build_fail(b, &err);
    }
}

/* Steps. */

static void on_step(void *context, const struct sandbox_run_result *r)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    size_t total = json_array_size(json_list(b->spec, "steps"));
    output_flush(b->output); /* before the end of the step is told */
    if (b->state == BUILD_STEPS)
        timeline_end(b, r->exit_code == 0 ? "done" : "failed");
    if (run_ended(b))
        return;
    judge(b, r, &err);
    if (r->timed_out)
        (void)FAIL(&err, E_TIMEOUT, "the build took too long");
    if (err.kind != E_OK) {
        build_fail(b, &err);
        return;
    }
    b->step++;
    if (b->step < total) {
        build_event(b, BUILD_EVENT_NEXT);
        return;
    }
    b->step = 0;
    build_event(b, BUILD_EVENT_READY);
}

void build_step_begin(struct build *b)
{
    if (json_array_size(json_list(b->spec, "steps")) == 0)
        build_event(b, BUILD_EVENT_READY);
    else
        begin(b, on_step);
}

/* Checks. */

static bool from_stdout(const json_t *check)
{
    return !json_text(check, "report") && !text_is(json_text_or(check, "format", "exit"), "exit");
}

static char *captured_folder(const struct build *b)
{
    return mem_format("%s/report", b->folder);
}

static void check_fail(struct build *b)
{
    struct err err = ERR_INIT;
    size_t i;
    json_t *check;
    json_array_foreach(b->checks, i, check) if (!json_bool(check, "ok", true))
    {
        if (json_bool(check, "empty", false))
            (void)FAIL(&err, E_CHECK_FAILED, "check '%s' failed: no tests in its report",
                       json_text(check, "name"));
        else
            (void)FAIL(&err, E_CHECK_FAILED, "check '%s' failed: %lld of %lld tests",
                       json_text(check, "name"), (long long)json_int(check, "failed", 0),
                       (long long)(json_int(check, "failed", 0) + json_int(check, "passed", 0)));
        build_fail(b, &err);
        return;
    }
    build_event(b, BUILD_EVENT_READY);
}

/* All cases of a build together must fit into one message: what is past the budget is left out (the
 * counts stay), failed ones come first. */
static void limit_cases(struct build *b, json_t *check)
{
    json_t *cases = json_list(check, "cases");
    size_t kept = 0, total = json_array_size(cases);
    for (; kept < total && b->cases_left > 0; kept++, b->cases_left--) {
        const json_t *one = json_array_get(cases, kept);
        int64_t bytes = (int64_t)(strlen(json_text_or(one, "name", "")) +
                                  strlen(json_text_or(one, "text", "")));
        if (b->case_bytes_left < bytes)
            break;
        b->case_bytes_left -= bytes;
    }
    while (json_array_size(cases) > kept)
        (void)json_array_remove(cases, kept); /* it is there */
}

static void mask_cases(struct build *b, json_t *check)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_list(check, "cases"), i, one)
    {
        AUTO_FREE char *name = mask_text(&b->mask, json_text_or(one, "name", ""));
        AUTO_FREE char *text = mask_text(&b->mask, json_text_or(one, "text", ""));
        json_put_text(one, "name", name);
        json_put_text(one, "text", text);
    }
}

/* Takes `counts` (from a report, or made up). */
static void check_end(struct build *b, json_t *counts, int exit_code)
{
    const char *name = json_text(current(b), "name");
    bool empty = json_int(counts, "passed", 0) + json_int(counts, "failed", 0) +
                     json_int(counts, "skipped", 0) ==
                 0;
    bool ok = exit_code == 0 && json_int(counts, "failed", 0) == 0 &&
              (!empty || json_bool(current(b), "allow_empty", false));
    AUTO_JSON *taken = counts;
    json_t *check = json_deep_copy(taken);
    limit_cases(b, check);
    mask_cases(b, check);
    json_put_text(check, "name", name);
    json_put_bool(check, "ok", ok);
    if (empty) {
        json_put_bool(check, "empty", true);
        output_note(b->output, "no tests in the report");
    }
    if (json_int(check, "ms", 0) == 0)
        json_put_int(check, "ms", step_ms(b));
    json_push(b->checks, json_incref(check));
    build_tell(b, "check", check);
    timeline_end(b, ok ? "done" : "failed");
    b->step++;
    if (b->step < json_array_size(json_list(b->spec, "checks")))
        build_event(b, BUILD_EVENT_NEXT);
    else
        check_fail(b);
}

static json_t *made_up(int exit_code, const char *name, const char *text)
{
    json_t *value = json_object(), *cases = json_array();
    json_put_int(value, "passed", exit_code == 0);
    json_put_int(value, "failed", exit_code != 0);
    json_put_int(value, "skipped", 0);
    if (exit_code != 0) {
        json_t *one = json_object();
        json_put_text(one, "name", name);
        json_put_text(one, "outcome", "failed");
        json_put_text(one, "text", text);
        json_push(cases, one);
    }
    json_put(value, "cases", cases);
    return value;
}

static void on_report(void *context, const struct child_result *r)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    json_t *counts = NULL;
    b->child = NULL;
    if (build_arrived(b))
        return;
    if (narrow_read_answer(r, "reading the report", &counts, &err) < 0)
        counts = made_up(1, "report", err.text);
    check_end(b, counts, b->check_exit);
}

static int report_begin(struct build *b, const json_t *check, struct err *err)
{
    bool captured = from_stdout(check);
    AUTO_FREE char *root = captured ? captured_folder(b) : mem_format("%s/tree", b->mount);
    const char *path = captured ? "stdout" : json_text(check, "report");
    AUTO_FREE char *since = mem_format("%lld", (long long)(b->step_began_ms / 1000));
    const char *argv[] = {NARROW_SELF, "host-report", root, path, json_text(check, "format"),
                          since,       NULL};
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .out = CHILD_COLLECT,
                              .output_max = 4u << 20,
                              .error = CHILD_INHERIT,
                              .timeout_ms = REPORT_MS,
                              .on_exit = on_report,
                              .context = b};
    if (child_start(&spec, &b->child, err) < 0)
        return -1;
    b->pending = BUILD_ON_CHILD;
    return 0;
}

static void on_check(void *context, const struct sandbox_run_result *r)
{
    struct build *b = context;
    struct err err = ERR_INIT, why = ERR_INIT;
    output_flush(b->output);
    if (run_ended(b))
        return;
    const json_t *check = current(b);
    judge(b, r, &why);
    if (r->timed_out || (why.kind != E_OK && why.kind != E_BUILD_FAILED)) {
        if (r->timed_out)
            (void)FAIL(&why, E_TIMEOUT, "the build took too long");
        build_fail(b, &why);
        return;
    }
    b->check_exit = r->exit_code;
    if (text_is(json_text_or(check, "format", "exit"), "exit"))
        check_end(b, made_up(r->exit_code, json_text(check, "name"), why.text), r->exit_code);
    else if (report_begin(b, check, &err) < 0)
        build_fail(b, &err);
}

static int capture_begin(struct build *b, struct err *err)
{
    AUTO_FREE char *folder = captured_folder(b), *path = mem_format("%s/stdout", folder);
    if (file_make_dirs(folder, 0700, err) < 0)
        return -1;
    b->captured = 0;
    b->capture_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return b->capture_fd < 0 ? FAIL_SYS(err, "cannot make '%s'", path) : 0;
}

void build_check_begin(struct build *b)
{
    struct err err = ERR_INIT;
    const json_t *check = current(b);
    if (!check) {
        check_fail(b);
        return;
    }
    if (from_stdout(check) && capture_begin(b, &err) < 0)
        build_fail(b, &err);
    else
        begin(b, on_check);
}
