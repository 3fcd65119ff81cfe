/* The connection to HAProxy's runtime socket: commands go out pipelined, answers come back in
 * order. In HAProxy's interactive mode every command's answer ends with "\n> ", so that one can
 * tell where it ends. A connection that breaks, or on which an answer takes longer than
 * EDGE_CLI_MS, fails all that waits and tells its owner. Loop thread. */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "base/str.h"

#define EDGE_CLI_MS 3000

struct edge_cli;
/* E_EDGE_REFUSED when nobody listens there. on_lost is called at most once, never from within a
 * call of ours; the connection is still the owner's to free. */
int edge_cli_open(const char *path, uid_t uid,
                  void (*on_lost)(void *context, const struct err *err), void *context,
                  struct edge_cli **ret_cli, struct err *err) MUST_CHECK;
/* What waits is answered with an error, now or (within a callback of ours) when that returns. */
void edge_cli_free(struct edge_cli *c);

/* What the `count` commands of one call got; valid during the call. error NULL: all answered. */
struct edge_answers {
    const struct err *error;
    size_t count;
    const size_t *ends; /* offsets into text */
    const char *text;
};
struct str edge_answer_at(const struct edge_answers *a, size_t index);
/* `text` holds `count` lines, one command each; copied. fn is called exactly once. */
void edge_cli_run(struct edge_cli *c, struct str text, size_t count,
                  void (*fn)(void *context, const struct edge_answers *answers), void *context);
