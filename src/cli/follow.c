/* Following long work to its end: steps with their seconds, the build's output when it fails or
 * with -v. Asked a few times a second, so that it goes on over a restart of the server. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"

#define ASK_MS 150
#define OUTAGE_MS 30000 /* a server that is away for longer is an error */

struct follow {
    struct cli *c;
    int64_t output_offset;
    int64_t deadline; /* mono; 0: none */
    int64_t away_since;
    size_t told[512]; /* per step: 0 nothing told yet, 1 that it is under way, 2 how it ended */
};

static void nap(void)
{
    const struct timespec pause = {0, ASK_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static bool is_any(const char *text, const char *const *list)
{
    for (; *list; list++) {
        if (text_is(*list, text))
            return true;
    }
    return false;
}

static int check_deadline(const struct follow *f, struct err *err)
{
    if (f->deadline && clock_mono_ms(clock_system()) > f->deadline)
        return FAIL(err, E_TIMEOUT,
                    "still running after %lld s: 'slipway status -w' goes on watching",
                    (long long)f->c->timeout_s);
    return 0;
}

/* Ask, riding over a restart of the server. 1: try again. */
static int ask(struct follow *f, const char *path, json_t **ret_reply, struct err *err)
{
    struct err failure = ERR_INIT;
    if (check_deadline(f, err) < 0)
        return -1;
    if (cli_get(f->c, path, ret_reply, &failure) == 0) {
        f->away_since = 0;
        return 0;
    }
    int64_t now = clock_mono_ms(clock_system());
    if (!f->away_since)
        f->away_since = now;
    if (err_class(failure.kind) != ERR_UNAVAILABLE || now - f->away_since > OUTAGE_MS) {
        *err = failure;
        return -1;
    }
    nap();
    return 1;
}

static void print_output(struct follow *f, int64_t build, bool all)
{
    struct err ignored = ERR_INIT;
    for (;;) {
        AUTO_FREE char *tail = mem_format("/builds/%lld/output?offset=%lld", (long long)build,
                                          (long long)f->output_offset);
        AUTO_FREE char *path = NULL;
        AUTO_JSON *reply = NULL;
        if (cli_app_env_path(f->c, tail, &path, &ignored) < 0 ||
            cli_get(f->c, path, &reply, &ignored) < 0)
            return; /* output is a comfort: its lack must not end the following */
        const char *text = json_text_or(reply, "text", "");
        int64_t next = json_int(reply, "next", f->output_offset);
        if (!f->c->json)
            cli_print_safe(text);
        if (next <= f->output_offset || !all)
            return;
        f->output_offset = next;
    }
}

static void tell_step(struct follow *f, const json_t *step)
{
    size_t index = (size_t)json_int(step, "index", 0);
    const char *state = json_text_or(step, "state", "");
    size_t code = text_is(state, "doing") ? 1 : 2;
    if (f->c->json || index >= ARRAY_SIZE(f->told) || f->told[index] == code ||
        text_is(state, "pending") || text_is(state, "skipped"))
        return;
    f->told[index] = code;
    int64_t started = json_int(step, "started", 0);
    int64_t ended = json_int(step, "ended", 0);
    if (text_is(state, "doing")) {
        if (cli_is_terminal(STDOUT_FILENO))
            cli_print_passing("  ...   %s", json_text_or(step, "text", "?"));
    } else {
        cli_print("  %-5s %s  %.2f s\n", text_is(state, "done") ? "ok" : state,
                  json_text_or(step, "text", "?"), (double)(ended - started) / 1000.0);
    }
    (void)fflush(stdout);
}

static void tell_steps(struct follow *f, const json_t *rollout)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_list(rollout, "steps"), i, step)
    {
        bool building =
            text_is(json_text(step, "kind"), "build") && text_is(json_text(step, "state"), "doing");
        bool failed = text_is(json_text(step, "kind"), "build") &&
                      text_is(json_text(step, "state"), "failed");
        if ((building && f->c->verbose) || (failed && f->output_offset == 0))
            print_output(f, json_int(json_dict(step, "args"), "build", 0), true);
        tell_step(f, step);
    }
}

static struct follow follow_new(struct cli *c)
{
    struct follow f = {.c = c};
    if (c->timeout_s)
        f.deadline = clock_mono_ms(clock_system()) + c->timeout_s * 1000;
    return f;
}

static int end_of(const struct cli *c, const json_t *row, const char *what, struct err *err)
{
    const char *state = json_text_or(row, "state", "?");
    const json_t *error = json_dict(row, "error");
    if (c->json)
        cli_print_json(row);
    if (text_is(state, "done"))
        return 0;
    struct err theirs = ERR_INIT;
    if (json_object_size(error))
        json_to_err(error, &theirs);
    else
        (void)FAIL(&theirs, E_INTERNAL, "no reason was given");
    return FAIL(err, theirs.kind, "%s %s: %s", what, state, theirs.text);
}

int cli_follow_rollout(struct cli *c, int64_t id, struct err *err)
{
    static const char *const final[] = {"done", "reverted", "failed", "cancelled", NULL};
    struct follow f = follow_new(c);
    AUTO_FREE char *tail = mem_format("/rollouts/%lld", (long long)id);
    AUTO_FREE char *path = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    for (;;) {
        AUTO_JSON *row = NULL;
        int result = ask(&f, path, &row, err);
        if (result < 0)
            return -1;
        if (result > 0)
            continue;
        tell_steps(&f, row);
        if (is_any(json_text(row, "state"), final))
            return end_of(c, row, "the rollout is", err);
        nap();
    }
}

int cli_follow_build(struct cli *c, int64_t number, struct err *err)
{
    static const char *const final[] = {"done", "failed", "cancelled", NULL};
    struct follow f = follow_new(c);
    AUTO_FREE char *tail = mem_format("/builds/%lld", (long long)number);
    AUTO_FREE char *path = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    for (;;) {
        AUTO_JSON *row = NULL;
        int result = ask(&f, path, &row, err);
        if (result < 0)
            return -1;
        if (result > 0)
            continue;
        print_output(&f, number, true);
        if (is_any(json_text(row, "state"), final))
            return end_of(c, row, "the build is", err);
        nap();
    }
}
