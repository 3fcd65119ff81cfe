/* struct git_process: a git call run from a pool thread, blocking with a deadline.
 *
 * The loop's children (io/child.h) serve connections; the verbs of the courier are sequences of
 * short calls whose next step depends on the last answer. They run as one job on the pool each,
 * where such a sequence reads as straight code. Standard error goes to a memory file, so that it
 * can never block the two pipes. Pool threads. */
#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "courier/git/call.h"

struct git_process;
struct git_outcome {
    int exit_code; /* -1 when it died of a signal */
    int signal;
    char text[ERR_TEXT_MAX]; /* what it said of a failure: the first line of its standard error */
};

/* Start with a pipe at both ends. deadline_ms: from now, for everything until git_process_wait. */
int git_process_start(struct git_call *call, int64_t deadline_ms, struct git_process **ret_process,
                      struct err *err) MUST_CHECK;
/* Kill it when it still runs, reap it, forget it. NULL is fine. */
void git_process_free(struct git_process *p);
DEFINE_AUTO(git_process)
/* Write all of it. Only for amounts that git surely takes while we do not read (a few KiB ahead of
 * the answers read). */
int git_process_write(struct git_process *p, struct str data, struct err *err) MUST_CHECK;
void git_process_close_input(struct git_process *p);
/* The next bytes up to `end`, which is consumed; the view holds until the next read.
 * GIT_PROCESS_END when the output ended before any byte. */
#define GIT_PROCESS_END 1
int git_process_until(struct git_process *p, char end, size_t max, struct str *ret_text,
                      struct err *err) MUST_CHECK;
/* Between 1 and `max` of the bytes that come next; E_CORRUPT when the output ends. */
int git_process_some(struct git_process *p, size_t max, struct str *ret_data,
                     struct err *err) MUST_CHECK;
/* Reads no further; waits for the end. */
int git_process_wait(struct git_process *p, struct git_outcome *ret_outcome,
                     struct err *err) MUST_CHECK;

/* Give it `input`, gather its output (E_TOO_LARGE past the ceiling of `out`, which may be NULL),
 * wait. Any exit code is a success of this call. */
int git_capture(struct git_call *call, struct str input, struct buf *out,
                struct git_outcome *ret_outcome, struct err *err) MUST_CHECK;
/* As above; an exit code other than 0 fails with E_SYSTEM and git's own words. */
int git_run(struct git_call *call, struct str input, struct buf *out, struct err *err) MUST_CHECK;
int git_outcome_check(const struct git_call *call, const struct git_outcome *outcome,
                      struct err *err) MUST_CHECK;
