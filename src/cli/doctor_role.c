/* The roles as the kernel shows them: found by their pid files, known by their command lines. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/doctor_priv.h"

#define LOG_TAIL (256 * 1024)
#define LOG_LINES 3
#define LOG_LINE_SHOWN 400

void doctor_command(pid_t pid, struct buf *out)
{
    struct err gone = ERR_INIT;
    AUTO_FREE char *path = mem_format("/proc/%d/cmdline", (int)pid);
    if (file_read(path, 64u << 10, out, &gone) < 0)
        buf_clear(out);
}

bool doctor_is_ours(const struct settings *s, pid_t pid)
{
    AUTO_BUF command = BUF_INIT(64u << 10);
    AUTO_FREE char *edge = settings_run(s, "edge/");
    doctor_command(pid, &command);
    for (struct str rest = buf_str(&command); rest.data && rest.length;) {
        struct str word = str_cut(&rest, '\0');
        if (str_is(word, s->path) || str_starts(word, edge))
            return true;
    }
    return false;
}

/* Is it `slipway ROLE ...` of this installation? A number used again is somebody else. */
static bool is_role(const struct settings *s, pid_t pid, const char *role)
{
    AUTO_BUF command = BUF_INIT(64u << 10);
    doctor_command(pid, &command);
    struct str rest = buf_str(&command);
    if (!rest.data || !rest.length)
        return false;
    (void)str_cut(&rest, '\0');
    return rest.data && str_is(str_cut(&rest, '\0'), role) && doctor_is_ours(s, pid);
}

/* 0: there is none. */
static pid_t role_pid(const struct settings *s, const char *role)
{
    struct err absent = ERR_INIT;
    AUTO_BUF text = BUF_INIT(256);
    AUTO_FREE char *name = mem_format("%s.pid", role);
    AUTO_FREE char *path = settings_run(s, name);
    int64_t pid;
    if (file_read(path, 256, &text, &absent) < 0)
        return 0;
    struct str rest = buf_str(&text);
    if (str_to_int(str_cut(&rest, ' '), 2, INT32_MAX, "pid", &pid, &absent) < 0 ||
        !is_role(s, (pid_t)pid, role))
        return 0;
    return (pid_t)pid;
}

/* 'R', 'S', 'T', ...; 0 when it is gone. */
static char process_state(pid_t pid)
{
    struct err gone = ERR_INIT;
    AUTO_BUF text = BUF_INIT(4096);
    AUTO_FREE char *path = mem_format("/proc/%d/stat", (int)pid);
    if (file_read(path, 4096, &text, &gone) < 0)
        return 0;
    const char *bracket = strrchr(text.data, ')');
    return bracket && bracket[1] == ' ' ? bracket[2] : 0;
}

/* ---- the log: a file where there is no journal ---- */

/* Where a living process of ours writes to; else where `up` would have it. */
static int log_open(const struct settings *s, pid_t const *pids, size_t count)
{
    AUTO_FREE char *usual = settings_data(s, "log/slipway.log");
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *path = mem_format("/proc/%d/fd/2", (int)pids[i]);
        struct stat info;
        if (pids[i] <= 0 || stat(path, &info) < 0 || !S_ISREG(info.st_mode))
            continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return open(usual, O_RDONLY | O_CLOEXEC);
}

static void log_tail(int fd, struct buf *out)
{
    struct err ignored = ERR_INIT;
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0)
        return;
    (void)lseek(fd, info.st_size > LOG_TAIL ? info.st_size - LOG_TAIL : 0, SEEK_SET);
    if (file_read_fd(fd, LOG_TAIL * 2, out, &ignored) < 0)
        buf_clear(out);
}

static bool line_is_about(struct str line, const char *role)
{
    AUTO_FREE char *by = mem_format(" role=%s ", role);
    AUTO_FREE char *plain = mem_format("slipway %s: ", role);
    if (str_starts(line, plain))
        return true;
    if (!memmem(line.data, line.length, by, strlen(by)))
        return false; /* the supervisor names the role that ended so, too */
    return memmem(line.data, line.length, " level=error ", 13) ||
           memmem(line.data, line.length, " level=warn ", 12);
}

/* The last lines in which something went wrong with this role. */
static json_t *last_words(const struct buf *log, const char *role)
{
    json_t *lines = json_array();
    for (struct str rest = buf_str(log); rest.data;) {
        struct str line = str_cut(&rest, '\n');
        if (!line.length || !line_is_about(line, role))
            continue;
        if (line.length > LOG_LINE_SHOWN)
            line.length = LOG_LINE_SHOWN;
        json_push(lines, json_str_value(line));
        if (json_array_size(lines) > LOG_LINES)
            (void)json_array_remove(lines, 0);
    }
    return lines;
}

/* ---- the checks ---- */

static char *role_trouble(pid_t pid, const char *role, const char *trouble)
{
    char state = pid ? process_state(pid) : 0;
    if (!state || state == 'Z' || state == 'X')
        return mem_strdup("not running");
    if (state == 'T' || state == 't')
        return mem_format("process %d is stopped", (int)pid);
    if (trouble && text_is(role, "core"))
        return mem_format("process %d runs, but its API does not answer: %s", (int)pid, trouble);
    return NULL;
}

static const char *role_fix(const char *role, char state)
{
    if (state == 'T' || state == 't')
        return "somebody sent it SIGSTOP (or debugs it): kill -CONT, or kill it";
    if (text_is(role, "serve"))
        return "start it: ./up, or systemctl start slipway; the roles that live are taken over";
    return "the supervisor starts it again by itself, when it runs; the log tells why it ended";
}

void doctor_roles(const struct settings *s, const char *trouble, json_t *checks)
{
    static const char *const roles[] = {"serve", "core", "courier", "host", "signals"};
    pid_t pids[ARRAY_SIZE(roles)];
    AUTO_BUF log = BUF_INIT(0);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        pids[i] = role_pid(s, roles[i]);
    AUTO_CLOSE int fd = log_open(s, pids, ARRAY_SIZE(roles));
    log_tail(fd, &log);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        AUTO_FREE char *name = mem_format("role %s", roles[i]);
        AUTO_FREE char *bad = role_trouble(pids[i], roles[i], trouble);
        AUTO_FREE char *good = mem_format("process %d", (int)pids[i]);
        char state = pids[i] ? process_state(pids[i]) : 0;
        json_t *check =
            doctor_push(checks, name, !bad, bad ? bad : good, role_fix(roles[i], state));
        if (bad)
            json_put(check, "log", last_words(&log, roles[i]));
    }
}
