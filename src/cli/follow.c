/* Following long work to its end: steps with their seconds, the build's output when it fails or
 * with -v. Asked a few times a second, so that it goes on over a restart of the server. On a
 * terminal the step under way is one line that is written again in place. */
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"

#define ASK_MS 150

struct follow {
    struct cli *c;
    bool terminal;
    int64_t output_offset;
    int64_t deadline; /* mono; 0: none */
    int64_t away_since;
    size_t told[512]; /* per step: 0 nothing told yet, 1 that it is under way, 2 how it ended */
    int64_t running;  /* the step under way; -1: none */
    int64_t running_since; /* mono: the server's clock may be another */
    int64_t event;         /* the last that was read of the feed; -1: none yet */
    char *last_line;       /* of the build's output */
    size_t tried;          /* sets of a search for culprits that were told */
    int64_t percent;       /* of the build's own account; -1: unknown */
};

void cli_nap(int64_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL);
}

int cli_ride(int64_t *away_since_ms, const struct err *failure, struct err *err)
{
    int64_t now = clock_mono_ms(clock_system());
    if (!*away_since_ms)
        *away_since_ms = now;
    if (err_class(failure->kind) != ERR_UNAVAILABLE || now - *away_since_ms > CLI_RIDE_MS) {
        *err = *failure;
        return -1;
    }
    cli_nap(ASK_MS);
    return 1;
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
    return cli_ride(&f->away_since, &failure, err);
}

/* ---- the line under way ---- */

static void line_draw(struct follow *f, const json_t *step)
{
    int64_t seconds = (clock_mono_ms(clock_system()) - f->running_since) / 1000;
    bool building = text_is(json_text(step, "kind"), "build");
    AUTO_FREE char *percent = building && f->percent >= 0
                                  ? mem_format("  %lld %%", (long long)f->percent)
                                  : mem_strdup("");
    AUTO_FREE char *text = mem_format(
        "  ...   %s  %lld s%s%s%s", json_text_or(step, "text", "?"), (long long)seconds, percent,
        building && f->last_line ? "  | " : "", building && f->last_line ? f->last_line : "");
    cli_progress_line(f->c, text);
}

static void take_event(struct follow *f, const json_t *event)
{
    const json_t *data = json_dict(event, "data");
    const char *text = json_text_or(data, "text", "");
    f->event = json_int(event, "id", f->event);
    if (text_is(json_text(data, "event"), "progress"))
        f->percent = json_int(data, "percent", -1);
    if (!text_is(json_text(event, "topic"), "output"))
        return;
    struct str rest = str_of(text);
    while (rest.data) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (line.length == 0)
            continue;
        free(f->last_line);
        f->last_line = str_dup(line);
    }
}

/* What the build says of itself, from the feed. A comfort: its lack must not end the following. */
static void look_at_build(struct follow *f)
{
    struct err ignored = ERR_INIT;
    AUTO_FREE char *app = cli_escape(f->c->app);
    AUTO_FREE char *env = cli_escape(f->c->env);
    AUTO_FREE char *path =
        mem_format("/events?app=%s&env=%s&limit=%d&after=%lld", app, env, f->event < 0 ? 1 : 200,
                   (long long)(f->event < 0 ? 0 : f->event));
    AUTO_JSON *reply = NULL;
    if (cli_get(f->c, path, &reply, &ignored) < 0)
        return;
    if (f->event < 0) {
        f->event = json_int(reply, "last", 0);
        return;
    }
    size_t i;
    json_t *event;
    json_array_foreach(json_list(reply, "items"), i, event) take_event(f, event);
    if (!json_is_integer(json_object_get(reply, "next")))
        f->event = json_int(reply, "last", f->event);
}

static void tell_running(struct follow *f, const json_t *step)
{
    int64_t index = json_int(step, "index", 0);
    if (!f->terminal)
        return;
    if (f->running != index) {
        f->running = index;
        f->running_since = clock_mono_ms(clock_system());
    }
    if (text_is(json_text(step, "kind"), "build") && !f->c->verbose && !f->c->json)
        look_at_build(f);
    line_draw(f, step);
}

static void tell_step(struct follow *f, const json_t *step)
{
    size_t index = (size_t)json_int(step, "index", 0);
    const char *state = json_text_or(step, "state", "");
    if (index >= ARRAY_SIZE(f->told) || f->told[index] == 2 || text_is(state, "pending") ||
        text_is(state, "skipped"))
        return;
    if (text_is(state, "doing")) {
        tell_running(f, step);
        return;
    }
    f->told[index] = 2;
    cli_progress_line(f->c, NULL);
    cli_progress(f->c, "  %-5s %s  %.2f s\n", text_is(state, "done") ? "ok" : state,
                 json_text_or(step, "text", "?"),
                 (double)(json_int(step, "ended", 0) - json_int(step, "started", 0)) / 1000.0);
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
        if (!f->c->json && *text) {
            cli_progress_line(f->c, NULL);
            cli_print_safe(text);
        }
        if (next <= f->output_offset || !all)
            return;
        f->output_offset = next;
    }
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
    struct follow f = {.c = c, .terminal = cli_progress_is_terminal(c)};
    f.running = f.event = f.percent = -1;
    if (c->timeout_s)
        f.deadline = clock_mono_ms(clock_system()) + c->timeout_s * 1000;
    return f;
}

static void follow_done(struct follow *f)
{
    cli_progress_line(f->c, NULL);
    free(f->last_line);
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

/* Ask for the row until it is in one of the final states. */
static int follow_row(struct follow *f, const char *path,
                      void (*tell)(struct follow *f, const json_t *row), const char *const *final,
                      json_t **ret_row, struct err *err)
{
    for (;;) {
        AUTO_JSON *row = NULL;
        int result = ask(f, path, &row, err);
        if (result < 0)
            return -1;
        if (result > 0)
            continue;
        tell(f, row);
        if (is_any(json_text(row, "state"), final)) {
            *ret_row = TAKE(row);
            return 0;
        }
        cli_nap(ASK_MS);
    }
}

int cli_follow_rollout(struct cli *c, int64_t id, struct err *err)
{
    static const char *const final[] = {"done", "reverted", "failed", "cancelled", NULL};
    struct follow f = follow_new(c);
    AUTO_FREE char *tail = mem_format("/rollouts/%lld", (long long)id);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *row = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    int result = follow_row(&f, path, tell_steps, final, &row, err);
    follow_done(&f);
    return result < 0 ? -1 : end_of(c, row, "the rollout is", err);
}

static void tell_build(struct follow *f, const json_t *row)
{
    print_output(f, json_int(row, "number", 0), true);
}

int cli_follow_build(struct cli *c, int64_t number, struct err *err)
{
    static const char *const final[] = {"done", "failed", "cancelled", NULL};
    struct follow f = follow_new(c);
    AUTO_FREE char *tail = mem_format("/builds/%lld", (long long)number);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *row = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    int result = follow_row(&f, path, tell_build, final, &row, err);
    follow_done(&f);
    return result < 0 ? -1 : end_of(c, row, "the build is", err);
}

/* A line for each set that is known now. */
static void tell_tried(struct follow *f, const json_t *row)
{
    const json_t *tried = json_list(row, "tried");
    for (; f->tried < json_array_size(tried); f->tried++) {
        const json_t *one = json_array_get(tried, f->tried), *names = json_list(one, "branches");
        size_t i;
        json_t *name;
        if (!json_is_boolean(json_object_get(one, "failed")))
            return; /* it is being built */
        cli_progress(f->c, json_bool(one, "failed", false) ? "  fails  " : "  good   ");
        json_array_foreach((json_t *)(uintptr_t)names, i, name)
        {
            AUTO_FREE char *safe = cli_safe(json_string_value(name), false);
            cli_progress(f->c, "%s%s", i ? ", " : "", safe);
        }
        if (json_array_size(names) == 0)
            cli_progress(f->c, "trunk alone");
        if (json_int(one, "build", 0))
            cli_progress(f->c, "  b%lld", (long long)json_int(one, "build", 0));
        cli_progress(f->c, "\n");
    }
}

int cli_follow_culprits(struct cli *c, int64_t build, json_t **ret_row, struct err *err)
{
    static const char *const final[] = {"found", "failed", "cancelled", NULL};
    struct follow f = follow_new(c);
    AUTO_FREE char *tail = mem_format("/builds/%lld/culprits", (long long)build);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *row = NULL;
    *ret_row = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    int result = follow_row(&f, path, tell_tried, final, &row, err);
    follow_done(&f);
    if (result < 0)
        return -1;
    if (!text_is(json_text(row, "state"), "found"))
        return end_of(c, row, "the search is", err);
    if (c->json)
        cli_print_json(row);
    else
        *ret_row = TAKE(row);
    return 0;
}
