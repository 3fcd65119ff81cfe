/* Output of instances on its way to signals: conmon writes a file (root's), we open it and pass the
 * fd; a file that has grown past 8 MiB is renamed away (three are kept) and conmon told by its ctl
 * fifo to open a new one, which is passed as well.
 *
 * Signals may be away or slow: one connection is tried at a time, with a growing pause, and after
 * each connect every file is passed again. Nothing here waits for signals; what cannot be sent now
 * is sent after the next connect. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/instance/instance_priv.h"
#include "io/message.h"
#include "wire/signals.h"

#define FILE_MAX (8 << 20)
#define FILES_KEPT 3
#define LOOK_MS 1000
#define LOOK_SOON_MS 20
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000

static struct {
    struct channel *channel;
    bool greeted;
    struct timer *retry;
    int64_t retry_ms;
    struct timer *look;
    struct timer *look_soon;
    int64_t connects;
} output;

static void output_connect(void *context);

/* Signals went, or never was: later again. */
static void output_retry(void)
{
    output.channel = NULL;
    output.greeted = false;
    timer_start(&output.retry, output.retry_ms, 0, output_connect, NULL);
    output.retry_ms = output.retry_ms * 2 < RETRY_MAX_MS ? output.retry_ms * 2 : RETRY_MAX_MS;
}

static void closed(void *context, struct channel *c)
{
    (void)context;
    if (c == output.channel)
        output_retry();
}

static void pass_refused(void *context, json_t *ok, const struct err *error)
{
    (void)context;
    (void)ok;
    if (error && error->kind != E_ROLE_DOWN)
        log_warn("signals refused an instance's output, going on without", F_ERR(error));
}

static void output_pass(struct instance *i, int fd)
{
    json_t *args = json_object();
    json_put_text(args, "instance", i->name);
    json_put_text(args, "app_env", i->app_env);
    json_put_int(args, "release", i->release);
    struct channel_request request = {
        .verb = "log.open", .args = args, .fds = {fd}, .fd_count = 1, .on_reply = pass_refused};
    FAULT("instance.output");
    channel_request(output.channel, &request);
}

static char *log_path(const struct instance *i, int number)
{
    return number ? mem_format("%s/output.log.%d", i->folder, number)
                  : mem_format("%s/output.log", i->folder);
}

/* Pass the current file if signals does not have it yet. */
void output_open(struct instance *i)
{
    struct stat info;
    AUTO_FREE char *path = log_path(i, 0);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        return; /* conmon has not opened it yet: the next look finds it */
    i->rotating = false;
    if (!output.greeted || i->log_inode == info.st_ino)
        return;
    i->log_inode = info.st_ino;
    output_pass(i, fd);
}

void output_close(struct instance *i)
{
    json_t *args = json_object();
    json_put_text(args, "instance", i->name);
    i->log_inode = 0;
    if (output.greeted)
        channel_notify(output.channel, "log.close", args, NULL, 0);
    else
        json_decref(args);
}

static void greeted(void *context, json_t *ok, const struct err *error)
{
    (void)context;
    (void)ok;
    if (error && error->kind == E_ROLE_DOWN)
        return; /* closed() follows */
    if (error) {
        log_warn("signals refused our greeting, trying later", F_ERR(error));
        channel_free(TAKE(output.channel));
        output.retry_ms = RETRY_MAX_MS;
        output_retry();
        return;
    }
    output.greeted = true;
    output.retry_ms = RETRY_FIRST_MS;
    for (size_t n = 0; n < instances.by_name.count; n++) {
        struct instance *i = instances.by_name.entries[n].value;
        i->log_inode = 0;
        output_open(i);
    }
}

static void output_connect(void *context)
{
    static const struct channel_handlers handlers = {.on_close = closed};
    struct err err = ERR_INIT;
    json_t *args;
    (void)context;
    AUTO_FREE char *path = settings_run(instances.host->settings, "signals.sock");
    if (channel_connect(path, &handlers, &output.channel, &err) < 0) {
        log_debug("signals is away, trying later", F_ERR(&err));
        output_retry();
        return;
    }
    output.connects++;
    args = json_object();
    json_put_int(args, "protocol", WIRE_PROTOCOL);
    json_put_int(args, "epoch", instances.host->epoch > 0 ? instances.host->epoch : 1);
    struct channel_request hello = {.verb = "hello", .args = args, .on_reply = greeted};
    channel_request(output.channel, &hello); /* no deadline: an idle connection harms nobody */
}

/* Rotation. */

/* conmon opens a new file by this name before it takes the log's, and ends, with the app, when it
 * cannot: so it is made first. */
static bool make_next(const struct instance *i)
{
    AUTO_FREE char *log = log_path(i, 0);
    AUTO_FREE char *next = mem_format("%s.tmp", log);
    AUTO_CLOSE int fd = open(next, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        log_warn("no room for a new file: an instance's output goes on in the old one",
                 F_STR("instance", i->name), F_INT("errno", errno));
    return fd >= 0;
}

/* Have conmon open the log anew. False: it goes on in the file that it has; asked again. */
static bool reopen(struct instance *i)
{
    AUTO_FREE char *ctl = mem_format("%s/ctl", i->folder);
    AUTO_CLOSE int fd = open(ctl, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    i->rotating = fd >= 0 && write(fd, "2 0 0\n", 6) == 6;
    if (!i->rotating)
        log_warn("conmon does not listen, its output goes on in the renamed file",
                 F_STR("instance", i->name), F_INT("errno", errno));
    return i->rotating;
}

static bool rotate(struct instance *i)
{
    if (!make_next(i))
        return false;
    for (int number = FILES_KEPT - 1; number >= 0; number--) {
        AUTO_FREE char *from = log_path(i, number);
        AUTO_FREE char *to = log_path(i, number + 1);
        FAULT("instance.rotate");
        if (rename(from, to) < 0 && errno != ENOENT)
            log_warn("cannot rotate an instance's output, going on", F_STR("instance", i->name),
                     F_INT("errno", errno));
    }
    return reopen(i);
}

/* Renamed, and the log was not opened anew: by a host that died between the two, or a conmon that
 * did not listen. */
static bool is_half_rotated(const struct instance *i)
{
    AUTO_FREE char *renamed = log_path(i, 1);
    return i->conmon_pid > 0 && !i->rotating && file_exists(renamed);
}

static void look_soon(void *context)
{
    bool waiting = false;
    (void)context;
    for (size_t n = 0; n < instances.by_name.count; n++) {
        struct instance *i = instances.by_name.entries[n].value;
        if (i->rotating)
            output_open(i);
        waiting |= i->rotating;
    }
    if (!waiting)
        timer_free(&output.look_soon);
}

static void look(void *context)
{
    bool rotated = false;
    (void)context;
    for (size_t n = 0; n < instances.by_name.count; n++) {
        struct instance *i = instances.by_name.entries[n].value;
        struct stat info;
        AUTO_FREE char *path = log_path(i, 0);
        if (stat(path, &info) < 0) {
            if (errno == ENOENT && is_half_rotated(i) && make_next(i))
                rotated |= reopen(i);
            continue;
        }
        if (info.st_size > FILE_MAX && i->conmon_pid > 0) {
            rotated |= rotate(i);
        } else if (info.st_ino != i->log_inode) {
            output_open(i);
        }
    }
    if (rotated)
        timer_start(&output.look_soon, LOOK_SOON_MS, LOOK_SOON_MS, look_soon, NULL);
}

void output_setup(void)
{
    output.retry_ms = RETRY_FIRST_MS;
    timer_start(&output.look, LOOK_MS, LOOK_MS, look, NULL);
    output_connect(NULL);
}

void output_shutdown(void)
{
    timer_free(&output.look);
    timer_free(&output.look_soon);
    timer_free(&output.retry);
    channel_free(TAKE(output.channel));
    output.greeted = false;
}

json_t *output_dump(void)
{
    json_t *dump = json_object();
    json_put_bool(dump, "signals", output.greeted);
    json_put_int(dump, "connects", output.connects);
    return dump;
}
