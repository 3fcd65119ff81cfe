/* Narrowing: what a child of ours gives up before it touches bytes that others wrote.
 *
 * The host re-executes its own binary (`slipway host-unpack` ...); that child calls narrow_self
 * first: a mount namespace whose only content is one folder, no network, no capabilities but those
 * named, no new privileges, a list of allowed system calls. It answers with one JSON object on
 * stdout, which the host reads as untrusted text. Called before any thread is made. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/capability.h>
#include "base/err.h"
#include "base/json.h"
#include "io/child.h"

/* argv[0] of a re-executed child: the running binary, also after it was replaced on disk. */
#define NARROW_SELF "/proc/self/exe"

enum narrow_calls {
    NARROW_COMPUTE,     /* memory, and reading and writing fds that are open already */
    NARROW_READ_FILES,  /* also open, list and read */
    NARROW_WRITE_FILES, /* also make folders, files, links; owners, modes, times */
};
struct narrow_spec {
    const char *root; /* becomes "/"; mounted nosuid,nodev,noexec, without what is mounted below */
    bool read_only;
    uint32_t uid;            /* 0: stays root; otherwise uid and gid, and no capabilities */
    const cap_value_t *keep; /* capabilities kept; NULL: none */
    int keep_count;
    enum narrow_calls calls;
    int64_t file_bytes;   /* RLIMIT_FSIZE; 0: none */
    int64_t memory_bytes; /* RLIMIT_AS; 0: none (ignored in sanitizer builds) */
    int64_t cpu_seconds;  /* RLIMIT_CPU; 0: none */
};
/* Irreversible. On failure the process must end: it may be half narrowed. */
int narrow_self(const struct narrow_spec *spec, struct err *err) MUST_CHECK;

/* In the child: the one answer, and the end of the process (no atexit handlers). */
_Noreturn void narrow_answer(json_t *ok); /* takes ok */
_Noreturn void narrow_answer_error(const struct err *error);
/* In the host: what the child said. Its error becomes ours; no answer at all is E_INTERNAL. */
int narrow_read_answer(const struct child_result *r, const char *what, json_t **ret_ok,
                       struct err *err) MUST_CHECK;
