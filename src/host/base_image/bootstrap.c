/* A base from a package list: mmdebstrap writes a tar into a blob file, the blob is admitted and
 * unpacked. mmdebstrap runs as root on the machine itself (it must chroot), with packages signed by
 * Debian only; it gets the machine's proxy from the settings and nothing else of our environment.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image_priv.h"
#include "io/child.h"
#include "io/loop.h"

#define UNSHARE "/usr/bin/unshare" /* its mounts end with it, however it ends */
#define MMDEBSTRAP "/usr/bin/mmdebstrap"
#define BOOTSTRAP_MS (20 * 60 * 1000)
#define ROOM (2ll << 30)
#define TAIL_MAX 2048
/* Instances run as 1000:1000: getpwuid and os.userInfo() fail for an id that has no name. The texts
 * are ours from end to end: mmdebstrap gives a hook to sh. */
#define USER_HOOK                                                                                  \
    "--customize-hook=echo app:x:1000:1000:app:/app:/bin/sh >>\"$1/etc/passwd\" && "               \
    "echo app:x:1000: >>\"$1/etc/group\""
#define EPOCH "SOURCE_DATE_EPOCH=946684800" /* 2000-01-01: zip cannot say anything before 1980 */

struct bootstrap {
    struct host *host;
    struct job_listener listener;
    char *blob_path, *temp, *empty, *cgroup;
    struct child *child; /* while mmdebstrap runs */
    bool killed;
    char digest[SHA_DIGEST];
    int64_t bytes;
    struct err err;
    struct buf tail; /* the last of what it said, for the error */
    struct buf line;
    int percent;
};

static const struct {
    const char *text;
    int percent;
} marks[] = {{"running apt-get update", 5}, {"downloading packages", 15},
             {"extracting archives", 35},   {"installing essential", 45},
             {"installing remaining", 60},  {"cleaning package lists", 80},
             {"creating tarball", 85},      {"success", 90}};

static void bootstrap_end(struct bootstrap *b)
{
    const struct err *error = b->err.kind == E_OK ? NULL : &b->err;
    if (error)
        (void)unlink(b->blob_path); /* admitted blobs have another name by now */
    b->listener.done(b->listener.context, error ? NULL : b->digest, b->bytes, error);
    artifact_discard(b->temp);
    buf_done(&b->tail);
    buf_done(&b->line);
    free(b->blob_path);
    free(b->temp);
    free(b->empty);
    free(b->cgroup);
    free(b);
}

static void tell(struct bootstrap *b, const char *text, int percent)
{
    b->percent = percent;
    if (b->listener.progress)
        b->listener.progress(b->listener.context, text, percent);
}

static void on_line(struct bootstrap *b, const char *line)
{
    int percent = b->percent;
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (strstr(line, marks[i].text))
            percent = marks[i].percent;
    if (text_starts(line, "I: ") && !strchr(line, '/')) /* its own folders tell nobody anything */
        tell(b, line + 3, percent);
}

static void on_output(void *context, int stream, struct str data)
{
    struct bootstrap *b = context;
    (void)stream;
    err_ignore(buf_add_str(&b->tail, data));
    if (b->tail.length > TAIL_MAX)
        buf_consume(&b->tail, b->tail.length - TAIL_MAX);
    while (data.length > 0) {
        const char *end = memchr(data.data, '\n', data.length);
        size_t part = end ? (size_t)(end - data.data) : data.length;
        err_ignore(buf_add(&b->line, data.data, part)); /* past its ceiling: cut */
        if (end) {
            on_line(b, b->line.data ? b->line.data : "");
            buf_clear(&b->line);
        }
        data.data += part + (end != NULL);
        data.length -= part + (end != NULL);
    }
}

static void on_ready(void *context, const struct err *error)
{
    struct bootstrap *b = context;
    if (error)
        b->err = *error;
    bootstrap_end(b);
}

static void admit_work(void *context)
{
    struct bootstrap *b = context;
    if (artifact_blob_admit(b->blob_path, b->digest, &b->bytes, &b->err) < 0)
        return; /* told by admit_done */
}

static void admit_done(void *context)
{
    struct bootstrap *b = context;
    if (b->err.kind != E_OK) {
        bootstrap_end(b);
        return;
    }
    FAULT("base.admitted");
    tell(b, "unpacking", 95);
    artifact_unpack(b->digest, ARTIFACT_LAYER_BASE, on_ready, b);
}

/* The line to show is the last "E: ..." of the tail. */
static const char *last_error(struct bootstrap *b)
{
    char *text = b->tail.data ? b->tail.data : NULL, *found = NULL;
    for (char *at = text; at && (at = strstr(at, "E: ")) != NULL; at++)
        found = at;
    if (found)
        *strchrnul(found, '\n') = '\0';
    return found ? found : "no error line";
}

static void on_exit_child(void *context, const struct child_result *r)
{
    struct bootstrap *b = context;
    struct err left = ERR_INIT;
    b->child = NULL;
    logins_hide(&b->tail);
    if (sandbox_cgroup_remove(b->cgroup, &left) < 0)
        log_warn("processes of a base image are left", F_ERR(&left));
    if (b->killed)
        (void)FAIL(&b->err, E_CANCELLED, "nobody waits for the base image any more");
    else if (r->timed_out)
        (void)FAIL(&b->err, E_TIMEOUT, "the base image took longer than 20 minutes to make");
    else if (r->exit_code != 0)
        (void)FAIL(&b->err, E_BASE_FAILED, "mmdebstrap: %s", last_error(b));
    if (b->killed) {
        bootstrap_end(b);
        return;
    }
    if (b->err.kind != E_OK) {
        log_warn("base image failed, telling who asked", F_STR("output", b->tail.data));
        bootstrap_end(b);
        return;
    }
    tell(b, "hashing", 92);
    loop_work(admit_work, admit_done, b);
}

static char *join(const struct packages *packages)
{
    struct buf text = {0};
    bool ok = buf_add_text(&text, "ca-certificates") == 0;
    for (size_t i = 0; i < packages->count; i++)
        ok = ok && buf_add_char(&text, ',') == 0 && buf_add_text(&text, packages->names[i]) == 0;
    ASSERT(ok);
    return buf_take(&text);
}

/* It has not forked yet: unshare has only begun. What fails here ends it, and that is told when it
 * is gone. */
static int enter(struct bootstrap *b)
{
    const struct settings *s = b->host->settings;
    sandbox_cgroup_weight("base", BASE_WEIGHT);
    if (sandbox_cgroup_enter(b->cgroup, child_pid(b->child), s->build_memory, s->build_pids,
                             &b->err) < 0)
        child_kill(b->child, SIGKILL);
    return 0;
}

void bootstrap_kill(struct bootstrap *b)
{
    if (!b->child)
        return; /* nearly done: its base will be found by who asks next */
    b->killed = true;
    child_kill(b->child, SIGKILL);
    sandbox_cgroup_kill(b->cgroup);
}

static int run(struct bootstrap *b, const struct sources *s, const struct packages *packages,
               struct err *err)
{
    AUTO_FREE char *proxy = login_url(b->host->settings->http_proxy);
    AUTO_FREE char *names = join(packages), *include = mem_format("--include=%s", names);
    AUTO_FREE char *resolv = mem_format("--customize-hook=upload %s /etc/resolv.conf", b->empty);
    AUTO_FREE char *hostname = mem_format("--customize-hook=upload %s /etc/hostname", b->empty);
    AUTO_FREE char *temp = mem_format("TMPDIR=%s", b->temp);
    AUTO_FREE char *http = mem_format("http_proxy=%s", proxy);
    AUTO_FREE char *https = mem_format("https_proxy=%s", proxy);
    AUTO_FREE char *direct = mem_format("no_proxy=%s", b->host->settings->no_proxy);
    const char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                         "LANG=C.UTF-8",
                         EPOCH,
                         temp,
                         proxy[0] ? http : NULL,
                         https,
                         direct,
                         NULL};
    const char *argv[40] = {UNSHARE,
                            "--mount",
                            "--propagation",
                            "slave",
                            "--",
                            MMDEBSTRAP,
                            "--variant=minbase",
                            "--mode=root",
                            "--format=tar",
                            include,
                            "--skip=output/dev",
                            resolv,
                            hostname,
                            USER_HOOK,
                            s->suite,
                            b->blob_path};
    size_t count = 16;
    for (size_t i = 0; i < s->count; i++)
        argv[count++] = s->lines[i];
    struct child_spec spec = {.argv = argv,
                              .env = env,
                              .stdin_fd = -1,
                              .out = CHILD_STREAM,
                              .error = CHILD_STREAM,
                              .timeout_ms = BOOTSTRAP_MS,
                              .on_output = on_output,
                              .on_exit = on_exit_child,
                              .context = b};
    if (child_start(&spec, &b->child, err) < 0)
        return -1;
    return enter(b);
}

static int prepare(struct bootstrap *b, struct err *err)
{
    AUTO_CLOSE int fd = -1;
    b->temp = settings_data(b->host->settings, "host/bases/tmp-XXXXXX");
    if (artifact_disk_room(ROOM, err) < 0 || artifact_blob_temp(&b->blob_path, &fd, err) < 0)
        return -1;
    if (!mkdtemp(b->temp))
        return FAIL_SYS(err, "cannot make '%s'", b->temp);
    b->empty = mem_format("%s/empty", b->temp);
    b->cgroup = mem_format("base/%s", strrchr(b->temp, '/') + 1);
    return file_write(b->empty, STR(""), 0644, err);
}

int bootstrap_start(struct host *h, const struct sources *sources, const struct packages *packages,
                    const struct job_listener *listener, struct bootstrap **ret_job,
                    struct err *err)
{
    struct bootstrap *b = mem_alloc(sizeof(*b));
    b->host = h;
    b->listener = *listener;
    buf_init(&b->line, 512);
    if (access(MMDEBSTRAP, X_OK) < 0) {
        free(b);
        return FAIL(err, E_BASE_FAILED, "mmdebstrap is not installed: apt-get install mmdebstrap");
    }
    FAULT("base.bootstrap");
    if (prepare(b, err) == 0 && run(b, sources, packages, err) == 0) {
        *ret_job = b;
        return 0;
    }
    artifact_discard(b->temp);
    if (b->blob_path)
        (void)unlink(b->blob_path); /* what failed first counts */
    free(b->blob_path);
    free(b->temp);
    free(b->empty);
    free(b->cgroup);
    free(b);
    return -1;
}
