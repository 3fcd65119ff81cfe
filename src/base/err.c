/* The error table and the few ways to fill a struct err.
 *
 * The text is always formatted into a local array first: callers may quote the text of the very
 * error they are setting. Nothing here allocates, so an error can be set when memory is out. */
#include "base/err.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"

struct err_row {
    const char *name;
    enum err_class class;
    int status;
};

static const struct err_row err_rows[E_COUNT] = {
#define X(constant, name_, class_, status_)                                                        \
    [E_##constant] = {.name = #name_, .class = ERR_##class_, .status = status_},
#include "base/err.def"
#undef X
};

static const struct err_row *err_row(enum err_kind kind)
{
    return (unsigned)kind < E_COUNT ? &err_rows[kind] : &err_rows[E_INTERNAL];
}

/* vsnprintf cuts anywhere: drop the piece of a character that may stand at the end. */
static void err_trim_utf8(char *text)
{
    size_t length = strlen(text), start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0xc0)
        start--;
    struct str last = {text + start, length - start};
    if (last.length > 0 && (unsigned char)text[start] >= 0xc0 && str_utf8_step(last) != last.length)
        text[start] = '\0';
}

/* A text for one line of a terminal: no control characters; and for JSON, where whatever is no
 * UTF-8 would take more room: names of files and what other servers say may be anything. */
static void err_store_text(struct err *err, const char *text)
{
    (void)snprintf(err->text, sizeof(err->text), "%s", text); /* cut on purpose */
    err_trim_utf8(err->text);
    for (char *c = err->text; *c;) {
        size_t step = str_utf8_step(str_of(c));
        if (step == 0 || (unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
            step = 1;
        }
        c += step;
    }
}

static void err_store(struct err *err, enum err_kind kind, const char *file, int line,
                      const char *text)
{
    err->kind = kind == E_OK ? E_INTERNAL : kind; /* a failure is never "ok" */
    err->file = file;
    err->line = line;
    err_store_text(err, text);
}

int err_set(struct err *err, enum err_kind kind, const char *file, int line, const char *format,
            ...)
{
    char text[ERR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments); /* cut on purpose */
    va_end(arguments);
    err_store(err, kind, file, line, text);
    return -1;
}

/* ": permission denied": the C library's text, in our lower case ("I/O error" stays). */
static void err_reason(int number, char reason[64])
{
    char scratch[64];
    (void)snprintf(reason, 64, ": %s", strerror_r(number, scratch, sizeof(scratch)));
    if (reason[2] >= 'A' && reason[2] <= 'Z' && reason[3] >= 'a' && reason[3] <= 'z')
        reason[2] = (char)(reason[2] - 'A' + 'a');
}

int err_set_errno(struct err *err, const char *file, int line, const char *format, ...)
{
    int number = errno;
    char reason[64], text[ERR_TEXT_MAX];
    err_reason(number, reason);
    /* A long subject is cut, the reason is not. */
    size_t room = sizeof(text) - strlen(reason);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, room, format, arguments);
    va_end(arguments);
    err_trim_utf8(text);
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", reason);
    bool full = number == ENOSPC || number == EDQUOT;
    err_store(err, full ? E_DISK_FULL : E_SYSTEM, file, line, text);
    errno = number;
    return -1;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char text[2 * ERR_TEXT_MAX + 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, ERR_TEXT_MAX, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    (void)snprintf(text + length, sizeof(text) - length, ": %s", err->text);
    err_store_text(err, text);
    return -1;
}

enum err_class err_class(enum err_kind kind)
{
    return err_row(kind)->class;
}

const char *err_name(enum err_kind kind)
{
    return err_row(kind)->name;
}

const char *err_class_name(enum err_class class)
{
    static const char *const names[] = {
        [ERR_NONE] = "NONE",
        [ERR_INPUT] = "INPUT",
        [ERR_DENIED] = "DENIED",
        [ERR_NOT_FOUND] = "NOT_FOUND",
        [ERR_CONFLICT] = "CONFLICT",
        [ERR_LIMIT] = "LIMIT",
        [ERR_UNAVAILABLE] = "UNAVAILABLE",
        [ERR_TIMEOUT] = "TIMEOUT",
        [ERR_CORRUPT] = "CORRUPT",
        [ERR_INTERNAL] = "INTERNAL",
    };
    return (unsigned)class <= ERR_INTERNAL ? names[class] : names[ERR_INTERNAL];
}

int err_status(enum err_kind kind)
{
    return err_row(kind)->status;
}

int err_exit_code(enum err_kind kind)
{
    if (kind == E_OK)
        return 0;
    if (kind == E_USAGE)
        return 2;
    return (int)err_class(kind) + 9;
}

enum err_kind err_from_name(const char *name)
{
    for (int kind = 0; kind < E_COUNT; kind++)
        if (text_is(err_rows[kind].name, name))
            return (enum err_kind)kind;
    return E_INTERNAL;
}
