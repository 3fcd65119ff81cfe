/* For the tests that run builds for real: the verbs over a socket pair, as core asks them, in an
 * installation of their own. The program is also the narrowed children (host-unpack ...). */
#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image.h"
#include "host/build/build_priv.h"
#include "host/root_test.h"
#include "host/sandbox/sandbox.h"
#include "io/loop.h"
#include "io/message.h"
#include "wire/host.h"

#define PATIENCE_MS 300000

static struct host host;
static struct channel *asker;

void host_notify(struct host *h, const char *verb, json_t *args)
{
    (void)h, (void)verb;
    json_decref(args);
}

static const struct message_verb verbs[] = {
    {WIRE("base.ensure", host_base_ensure), 0, base_image_verb_ensure},
    {WIRE("build.run", host_build_run), 0, build_verb_run},
    {WIRE("build.source", host_build_source), 1, build_verb_source},
    {WIRE("build.cancel", host_build_cancel), 0, build_verb_cancel},
    {WIRE("build.output", host_build_output), 0, build_verb_output},
    {WIRE("app_env.forget", host_app_env_forget), 0, build_verb_forget},
    {WIRE("release.prepare", host_release_prepare), 0, artifact_verb_prepare},
    {WIRE("artifact.stat", host_artifact_stat), 0, artifact_verb_stat},
    {WIRE("retention", host_retention), 0, artifact_verb_retention},
};

/* The installation's folder: a fresh one, or (in a host that is to be killed) the one given. */
static inline const char *fixture_folder(void)
{
    static char made[] = "/tmp/slipway-build-test-XXXXXX";
    static bool done;
    if (getenv("FIXTURE_FOLDER"))
        return getenv("FIXTURE_FOLDER");
    if (!done)
        OK(mkdtemp(made) != NULL);
    done = true;
    return made;
}

/* Once for all tests: the mount namespace cannot be made twice. */
static bool ready(int number)
{
    static struct channel_handlers ours = {.verbs = verbs, .verb_count = ARRAY_SIZE(verbs)};
    static struct channel_handlers none;
    static int state;
    struct err err = ERR_INIT;
    int pair[2];
    if (state != 0 || geteuid() != 0)
        return state > 0;
    state = -1;
    const char *folder = fixture_folder();
    struct settings *settings = root_test_settings(folder, number);
    OK(settings != NULL);
    settings->build_volume = 1ll << 30;
    host.settings = settings;
    log_setup("test", getenv("VERBOSE") ? LOG_DEBUG : LOG_WARN);
    (void)umask(022);
    (void)loop_get();
    if (sandbox_setup(settings, &err) < 0 || artifact_init(&host, &err) < 0 ||
        base_image_init(&host, &err) < 0 || build_init(&host, &err) < 0) {
        (void)printf("# %s\n", err.text);
        return false;
    }
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    (void)channel_new(pair[0], &ours);
    asker = channel_new(pair[1], &none);
    state = 1;
    return true;
}

/* One request, waited for. */
struct answer {
    bool over;
    json_t *ok;
    struct err err;
    struct buf output;
    json_t *checks; /* as told by events */
    json_t *steps;  /* those that ended, and what was told again */
    char *build;
    int tree_fd; /* given when host says "source"; the first `cut` times only a part of it */
    int cut;
    int64_t sources, progress;
    int64_t ms;
};

static void on_reply_ignored(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok, (void)error;
}

static void give_tree(struct answer *a)
{
    AUTO_CLOSE int part = -1;
    char bytes[1024] = {0};
    if (a->sources <= a->cut) {
        part = memfd_create("part", MFD_CLOEXEC);
        ssize_t n = pread(a->tree_fd, bytes, sizeof(bytes), 0);
        OK(n > 0 && write(part, bytes, (size_t)n) == n && lseek(part, 0, SEEK_SET) == 0);
    }
    (void)lseek(a->tree_fd, 0, SEEK_SET);
    struct channel_request r = {.verb = "build.source",
                                .args = json_pack("{s:s}", "build", a->build),
                                .fds = {part >= 0 ? part : a->tree_fd},
                                .fd_count = 1,
                                .on_reply = on_reply_ignored};
    channel_request(asker, &r);
}

static void on_event(void *context, const char *event, json_t *args)
{
    struct answer *a = context;
    if (text_is(event, "output"))
        err_ignore(buf_add_text(&a->output, json_text_or(args, "text", "")));
    if (text_is(event, "check"))
        json_push(a->checks, json_incref(args));
    if (text_is(event, "source")) {
        a->sources++;
        if (a->tree_fd >= 0)
            give_tree(a);
    }
    if (text_is(event, "step") && !text_is(json_text(args, "state"), "running"))
        json_push(a->steps, json_incref(args));
    if (text_is(event, "steps") && json_is_array(json_object_get(args, "steps"))) {
        json_decref(a->steps);
        a->steps = json_deep_copy(json_object_get(args, "steps"));
    }
    a->progress += text_is(event, "progress");
    if (getenv("VERBOSE")) {
        AUTO_FREE char *text = json_print(args);
        (void)fprintf(stderr, "# %s %.400s\n", event, text);
    }
}

static void on_reply(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    a->over = true;
    a->ok = json_incref(ok);
    if (error)
        a->err = *error;
}

/* Takes the fd of a build's tree, or -1. */
static void ask(struct answer *a, const char *verb, json_t *args, int fd)
{
    struct channel_request r = {
        .verb = verb, .args = args, .on_event = on_event, .on_reply = on_reply, .context = a};
    *a = (struct answer){.ms = clock_mono_ms(clock_system()),
                         .build = mem_strdup(json_text_or(args, "build", "")),
                         .checks = json_array(),
                         .steps = json_array(),
                         .tree_fd = fd};
    channel_request(asker, &r);
}

static void wait_for(struct answer *a)
{
    int64_t limit = clock_mono_ms(clock_system()) + PATIENCE_MS;
    while (!a->over && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    a->ms = clock_mono_ms(clock_system()) - a->ms;
    OK(a->over);
}

static inline void turn(int64_t ms)
{
    int64_t limit = clock_mono_ms(clock_system()) + ms;
    while (clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
}

static void answer_done(struct answer *a)
{
    json_decref(a->ok);
    json_decref(a->checks);
    json_decref(a->steps);
    fd_closep(&a->tree_fd);
    free(a->build);
    buf_done(&a->output);
}

/* name, content, name, content, ..., NULL as a tar. */
static int tree_of(const char *const *files)
{
    int fd = memfd_create("tree", MFD_CLOEXEC);
    struct archive *tar = archive_write_new();
    OK(archive_write_set_format_pax_restricted(tar) == ARCHIVE_OK);
    OK(archive_write_open_fd(tar, fd) == ARCHIVE_OK);
    for (; files[0]; files += 2) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, files[0]);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0755);
        archive_entry_set_size(e, (int64_t)strlen(files[1]));
        OK(archive_write_header(tar, e) == ARCHIVE_OK);
        (void)archive_write_data(tar, files[1], strlen(files[1]));
        archive_entry_free(e);
    }
    OK(archive_write_free(tar) == ARCHIVE_OK);
    (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

static const char *fixture_app_env = "shop.test";
static int64_t fixture_app_env_id = 7;

static json_t *run_args(const char *name, const char *spec)
{
    struct err err = ERR_INIT;
    json_t *args = json_object(), *value = NULL;
    IS_INT(json_parse(str_of(spec), &value, &err), 0);
    IS_STR(err.text, "");
    json_put_text(args, "build", name);
    json_put_text(args, "app", "shop");
    json_put_text(args, "app_env", fixture_app_env);
    json_put_int(args, "app_env_id", fixture_app_env_id);
    json_put(args, "spec", value);
    return args;
}

static void build_start(struct answer *a, const char *name, const char *const *files,
                        const char *spec)
{
    ask(a, "build.run", run_args(name, files ? spec : "{}"), files ? tree_of(files) : -1);
}

static inline void build_wait(struct answer *a, const char *name, const char *const *files,
                              const char *spec)
{
    build_start(a, name, files, spec);
    wait_for(a);
    (void)printf("# %s: %lld ms %s %s\n", name, (long long)a->ms, err_name(a->err.kind),
                 a->err.text);
}

/* Are volumes, secrets or roots mounted? The roots' scratch folders go a little later. */
static inline bool mounts_left(void)
{
    int64_t limit = clock_mono_ms(clock_system()) + 5000;
    AUTO_FREE char *volumes = mem_format("%s/run/vol/", fixture_folder());
    AUTO_FREE char *roots = mem_format("%s/run/root/", fixture_folder());
    bool left = true;
    while (left && clock_mono_ms(clock_system()) < limit) {
        AUTO_BUF mounts = {0};
        struct err err = ERR_INIT;
        turn(50);
        IS_INT(file_read("/proc/self/mounts", 16u << 20, &mounts, &err), 0);
        left = strstr(mounts.data, volumes) || strstr(mounts.data, roots);
    }
    return left;
}

static int build_fixture_main(int argc, char **argv)
{
    if (argc > 1 && text_is(argv[1], "host-unpack"))
        return unpack_main(argc, argv);
    if (argc > 1 && text_is(argv[1], "host-report"))
        return report_main(argc, argv);
    if (argc > 1 && text_is(argv[1], "host-pack"))
        return pack_main(argc, argv);
    int result = tap_main(argc, argv);
    if (host.settings) {
        struct err err = ERR_INIT;
        build_shutdown(&host);
        sandbox_teardown(host.settings);
        if (mounts_left())
            (void)printf("# mounts are left\n");
        if (file_remove_tree(fixture_folder(), &err) < 0)
            (void)printf("# %s\n", err.text);
    }
    return result;
}
