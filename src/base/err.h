/* Errors: one rule for the whole program.
 *
 * A fallible call takes `struct err *err` last. It returns 0 when all is well, -1 when it failed
 * and `err` is set, and > 0 for a named outcome of its own header that the direct caller handles.
 * Outputs are written only on success, `err` only on failure.
 *
 * An error has a kind (a class and a stable name, from err.def) and a text for people: lower case,
 * what failed first, the subject in single quotes, no full stop. Any thread. */
#pragma once
#include <stdarg.h>

enum err_class {
    ERR_NONE,
    ERR_INPUT,
    ERR_DENIED,
    ERR_NOT_FOUND,
    ERR_CONFLICT,
    ERR_LIMIT,
    ERR_UNAVAILABLE,
    ERR_TIMEOUT,
    ERR_CORRUPT,
    ERR_INTERNAL,
};

enum err_kind {
#define X(constant, name, class, status) E_##constant,
#include "base/err.def"
#undef X
    E_COUNT
};

#define ERR_TEXT_MAX 256

/* Caller-owned and of fixed size: nothing to free. Zero-initialise with `struct err err =
 * ERR_INIT`. */
struct err {
    enum err_kind kind;
    int line;
    const char *file; /* static string */
    char text[ERR_TEXT_MAX];
};
#define ERR_INIT                                                                                   \
    {                                                                                              \
        .kind = E_OK                                                                               \
    }
#define MUST_CHECK __attribute__((warn_unused_result))
/* Where a MUST_CHECK result does not matter: err_ignore(call(...)); with the reason beside it (gcc
 * does not take a cast to void for an answer). */
static inline void err_ignore(int result)
{
    (void)result;
}

/* Set the error; the value is -1 (said here, so that compilers and analyzers know it). Text longer
 * than ERR_TEXT_MAX is cut at a UTF-8 boundary; control characters in it and bytes that
 * are no UTF-8 are replaced by '?'. */
#define FAIL(err, kind, ...) (err_set((err), (kind), __FILE__, __LINE__, __VA_ARGS__), -1)
/* As FAIL, from errno: appends ": <strerror>"; ENOSPC and EDQUOT give E_DISK_FULL, else E_SYSTEM.
 */
#define FAIL_SYS(err, ...) (err_set_errno((err), __FILE__, __LINE__, __VA_ARGS__), -1)
int err_set(struct err *err, enum err_kind kind, const char *file, int line, const char *format,
            ...) __attribute__((format(printf, 5, 6), nonnull(1)));
int err_set_errno(struct err *err, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), nonnull(1)));
/* Put context before the text ("context: text"); keeps the kind; returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum err_class err_class(enum err_kind kind);
const char *err_name(enum err_kind kind);         /* "digest_changed" */
const char *err_class_name(enum err_class class); /* "CONFLICT" */
int err_status(enum err_kind kind);               /* HTTP status */
int err_exit_code(enum err_kind kind);            /* CLI exit code: class + 9, usage 2 (see docs) */
/* The kind with this name, or E_INTERNAL when there is none. */
enum err_kind err_from_name(const char *name);
