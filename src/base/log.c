/* One log line is built in memory and written with one write(), so that lines of several threads
 * and roles on the same pipe do not mix. Values are quoted as JSON strings whenever they hold
 * anything but plain characters: nobody can forge a line or a field from outside. A line that
 * cannot be written is lost; logging never fails and never blocks the caller with an error. */
#include "base/log.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/time.h"

#define LOG_LINE_MAX (64 * 1024)
#define LOG_VALUE_MAX 4000

static const char *log_role = "slipway";
static _Atomic(enum log_level) log_threshold = LOG_INFO;

void log_setup(const char *role, enum log_level level)
{
    log_role = role;
    atomic_store(&log_threshold, level);
}

static bool log_is_plain(struct str value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return false;
    }
    return value.length > 0;
}

static void log_add_text(struct buf *line, const char *text)
{
    struct str value = text ? str_of(text) : STR("-");
    if (value.length > LOG_VALUE_MAX)
        value.length = LOG_VALUE_MAX;
    if (log_is_plain(value))
        (void)buf_add_str(line, value);
    else
        (void)buf_add_json_string(line, value);
}

static void log_add_pair(struct buf *line, const char *name, const char *suffix, const char *text)
{
    (void)buf_add_format(line, " %s%s=", name, suffix);
    log_add_text(line, text);
}

static void log_add_err(struct buf *line, const char *name, const struct err *err)
{
    if (!err) {
        log_add_pair(line, name, "", NULL);
        return;
    }
    log_add_pair(line, name, "", err_name(err->kind));
    log_add_pair(line, name, "_text", err->text);
    if (err->file)
        (void)buf_add_format(line, " %s_at=%s:%d", name, err->file, err->line);
}

static void log_add_field(struct buf *line, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_STR:
        log_add_pair(line, field->name, "", field->value.text);
        break;
    case LOG_FIELD_INT:
        (void)buf_add_format(line, " %s=%lld", field->name, (long long)field->value.number);
        break;
    case LOG_FIELD_ERR:
        log_add_err(line, field->name, field->value.err);
        break;
    }
}

/* And the line's end. Past the ceiling the last fields are left out, which is said. */
static void log_add_fields(struct buf *line, const struct log_field *fields, size_t count)
{
    size_t whole = line->length;
    for (size_t i = 0; i < count && !line->failed; i++) {
        log_add_field(line, &fields[i]);
        if (!line->failed)
            whole = line->length;
    }
    const char *end = line->failed ? " cut=1\n" : "\n";
    line->length = whole;
    line->failed = false;
    line->ceiling = 0;
    (void)buf_add_text(line, end);
}

static void log_write(struct str line)
{
    while (line.length > 0) {
        ssize_t written = write(STDERR_FILENO, line.data, line.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* no place left to complain at */
        line.data += written;
        line.length -= (size_t)written;
    }
}

void log_line(enum log_level level, const char *sentence, const struct log_field *fields,
              size_t count)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (level > atomic_load(&log_threshold))
        return;
    int saved = errno;
    char at[25];
    time_format(clock_wall_ms(clock_system()), at);
    AUTO_BUF line = BUF_INIT(LOG_LINE_MAX);
    (void)buf_add_format(&line, "time=%s level=%s role=%s msg=", at, names[level], log_role);
    log_add_text(&line, sentence);
    log_add_fields(&line, fields, count);
    log_write(buf_str(&line));
    errno = saved;
}

enum log_level log_level_from_name(const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0)
            return (enum log_level)i;
    }
    return LOG_INFO;
}
