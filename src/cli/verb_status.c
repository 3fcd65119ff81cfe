/* status, logs, requests, top, history. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/verbs.h"

static void pause_ms(int64_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/* ---- status ---- */

static json_t *overview_row(struct cli *c, const char *app, const char *env, struct err *err)
{
    AUTO_FREE char *path = mem_format("/apps/%s/envs/%s", app, env);
    AUTO_JSON *state = NULL;
    if (cli_get(c, path, &state, err) < 0)
        return NULL;
    const json_t *rollout = json_object_get(state, "rollout");
    int64_t serving = 0;
    size_t i;
    json_t *instance;
    json_array_foreach(json_list(state, "instances"), i, instance) serving +=
        text_is(json_text(instance, "state"), "serving");
    json_t *row = json_object();
    int64_t live = json_int(state, "live_release", 0);
    AUTO_FREE char *release = live ? mem_format("r%lld", (long long)live) : mem_strdup("-");
    AUTO_FREE char *doing =
        json_is_object(rollout)
            ? mem_format("%s of r%lld is %s (by %s)", json_text_or(rollout, "kind", "?"),
                         (long long)json_int(rollout, "release", 0),
                         json_text_or(rollout, "state", "?"), json_text_or(rollout, "by", "?"))
            : mem_strdup("-");
    json_put_text(row, "app", app);
    json_put_text(row, "env", env);
    json_put_text(row, "release", release);
    json_put_int(row, "instances", serving);
    json_put(row, "branches", json_incref(json_list(state, "ticks")));
    json_put_text(row, "rollout", doing);
    json_put(row, "domain", json_incref(json_array_get(json_list(state, "domains"), 0)));
    return row;
}

/* A row for each env of the app that we may see. */
static int add_app_rows(struct cli *c, const char *name, json_t *rows, struct err *err)
{
    AUTO_FREE char *path = mem_format("/apps/%s", name);
    AUTO_JSON *app = NULL;
    if (cli_get(c, path, &app, err) < 0)
        return -1;
    size_t i;
    json_t *env;
    json_array_foreach(json_list(app, "envs"), i, env)
    {
        json_t *row = overview_row(c, name, json_string_value(env), err);
        if (!row)
            return -1;
        json_push(rows, row);
    }
    return 0;
}

static int show_overview(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"APP", "app", CLI_TEXT},           {"ENV", "env", CLI_TEXT},
        {"RELEASE", "release", CLI_TEXT},   {"SERVING", "instances", CLI_TEXT},
        {"BRANCHES", "branches", CLI_LIST}, {"ROLLOUT", "rollout", CLI_TEXT},
        {"DOMAIN", "domain", CLI_TEXT}};
    AUTO_JSON *apps = NULL;
    AUTO_JSON *rows = json_array();
    if (cli_list(c, "/apps", &apps, err) < 0)
        return -1;
    size_t i;
    json_t *app;
    json_array_foreach(json_list(apps, "items"), i, app)
    {
        const char *name = json_text_or(app, "name", "?");
        if ((!c->app || text_is(c->app, name)) && add_app_rows(c, name, rows, err) < 0)
            return -1;
    }
    cli_show(c, rows, NULL, columns, ARRAY_SIZE(columns));
    return 0;
}

static void print_plan(const json_t *rollout)
{
    size_t i;
    json_t *step;
    cli_print("\nrollout %lld: %s of r%lld is %s\n", (long long)json_int(rollout, "id", 0),
              json_text_or(rollout, "kind", "?"), (long long)json_int(rollout, "release", 0),
              json_text_or(rollout, "state", "?"));
    json_array_foreach(json_list(rollout, "steps"), i, step)
        cli_print("  %-8s %s\n", json_text_or(step, "state", "?"), json_text_or(step, "text", "?"));
}

static int show_app_env(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"INSTANCE", "name", CLI_TEXT},   {"RELEASE", "release", CLI_TEXT},
        {"STATE", "state", CLI_TEXT},     {"SLOT", "slot", CLI_TEXT},
        {"ADDRESS", "address", CLI_TEXT}, {"SINCE", "since", CLI_AGE}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *state = NULL;
    if (cli_app_env_path(c, "", &path, err) < 0 || cli_get(c, path, &state, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(state);
        return 0;
    }
    cli_print("%s in %s: r%lld is live at http://%s/\n", json_text_or(state, "app", "?"),
              json_text_or(state, "env", "?"), (long long)json_int(state, "live_release", 0),
              json_string_value(json_array_get(json_list(state, "domains"), 0)));
    cli_print_table(json_list(state, "instances"), columns, ARRAY_SIZE(columns));
    if (json_is_object(json_object_get(state, "rollout")))
        print_plan(json_dict(state, "rollout"));
    return 0;
}

static int show_status(struct cli *c, struct err *err)
{
    return c->env ? show_app_env(c, err) : show_overview(c, err);
}

int verb_status(struct cli *c, struct err *err)
{
    int result = show_status(c, err);
    while (result == 0 && c->watch) {
        (void)fflush(stdout);
        pause_ms(1000);
        cli_clear_screen();
        result = show_status(c, err);
    }
    return result;
}

/* ---- lines ---- */

static void print_log_line(const json_t *line)
{
    char at[25];
    time_format(json_int(line, "at", 0), at);
    cli_print("%.19s %s ", at, json_text_or(line, "instance", "?"));
    cli_print_safe(json_text_or(line, "text", ""));
    cli_print("\n");
}

static void print_request_line(const json_t *line)
{
    char at[25];
    time_format(json_int(line, "at", 0), at);
    cli_print("%.23s %3lld %7.1f ms %-18s %-7s ", at, (long long)json_int(line, "status", 0),
              (double)json_int(line, "us", 0) / 1000.0, json_text_or(line, "instance", "-"),
              json_text_or(line, "method", "-"));
    cli_print_safe(json_text_or(line, "path", "-"));
    cli_print("\n");
}

struct lines {
    struct cli *c;
    void (*print)(const json_t *line);
};

static bool on_line(void *context, const char *event, const json_t *data)
{
    const struct lines *l = context;
    if (!text_is(event, "line"))
        return true;
    if (l->c->json)
        cli_print_json(data);
    else
        l->print(data);
    (void)fflush(stdout);
    return true;
}

static int lines_path(struct cli *c, const char *noun, char **ret_path, struct err *err)
{
    int64_t ms = 0;
    if (c->since && str_to_ms(str_of(c->since), "--since", &ms, err) < 0)
        return -1;
    int64_t since = ms ? clock_wall_ms(clock_system()) - ms : 0;
    AUTO_FREE char *grep = cli_escape(c->grep ? c->grep : "");
    AUTO_FREE char *instance = cli_escape(c->instance ? c->instance : "");
    AUTO_FREE char *tail =
        mem_format("/%s?limit=%lld&since=%lld&release=%lld&follow=%d&grep=%s&instance=%s", noun,
                   (long long)(c->lines ? c->lines : 100), (long long)since, (long long)c->release,
                   c->follow ? 1 : 0, grep, instance);
    return cli_app_env_path(c, tail, ret_path, err);
}

static int show_lines(struct cli *c, const char *noun, void (*print)(const json_t *line),
                      struct err *err)
{
    struct lines l = {c, print};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (lines_path(c, noun, &path, err) < 0)
        return -1;
    if (c->follow)
        return cli_stream(c, path, on_line, &l, err);
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    size_t i;
    json_t *line;
    json_array_foreach(json_list(reply, "lines"), i, line) print(line);
    return 0;
}

static int show_build_output(struct cli *c, const char *number, struct err *err)
{
    int64_t offset = 0;
    AUTO_FREE char *escaped = cli_escape(number);
    for (;;) {
        AUTO_FREE char *tail =
            mem_format("/builds/%s/output?offset=%lld", escaped, (long long)offset);
        AUTO_FREE char *path = NULL;
        AUTO_JSON *reply = NULL;
        if (cli_app_env_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
            return -1;
        cli_print_safe(json_text_or(reply, "text", ""));
        int64_t next = json_int(reply, "next", offset);
        if (json_bool(reply, "end", true) || (next == offset && !c->follow))
            return 0;
        if (next == offset)
            pause_ms(300);
        offset = next;
    }
}

int verb_logs(struct cli *c, struct err *err)
{
    if (text_is(cli_word(c, 0), "build") && cli_word(c, 1))
        return show_build_output(c, cli_word(c, 1), err);
    if (cli_word(c, 0))
        return cli_usage("logs [build N] -e ENV", err);
    return show_lines(c, "logs", print_log_line, err);
}

int verb_requests(struct cli *c, struct err *err)
{
    return show_lines(c, "requests", print_request_line, err);
}

/* ---- top ---- */

static json_t *top_rows(const json_t *reply)
{
    json_t *rows = json_array();
    const char *name;
    json_t *app_env;
    json_object_foreach(json_dict(reply, "app_envs"), name, app_env)
    {
        int64_t requests = 0, errors = 0, us = 0, max = 0;
        size_t i;
        json_t *second;
        json_array_foreach(json_list(app_env, "seconds"), i, second)
        {
            requests += json_int(second, "requests", 0);
            errors += json_int(second, "errors", 0);
            us += json_int(second, "us_sum", 0);
            max = json_int(second, "us_max", 0) > max ? json_int(second, "us_max", 0) : max;
        }
        json_t *row = json_object();
        AUTO_FREE char *mean =
            mem_format("%.2f ms", requests ? (double)us / (double)requests / 1000.0 : 0.0);
        AUTO_FREE char *worst = mem_format("%.2f ms", (double)max / 1000.0);
        json_put_text(row, "name", name);
        json_put_int(row, "requests", requests);
        json_put_int(row, "errors", errors);
        json_put_text(row, "mean", mean);
        json_put_text(row, "max", worst);
        json_push(rows, row);
    }
    return rows;
}

static int show_top(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"APP.ENV", "name", CLI_TEXT},
                                                {"REQUESTS/60s", "requests", CLI_TEXT},
                                                {"ERRORS", "errors", CLI_TEXT},
                                                {"MEAN", "mean", CLI_TEXT},
                                                {"MAX", "max", CLI_TEXT}};
    AUTO_FREE char *path = c->env ? NULL : mem_strdup("/top?seconds=60");
    AUTO_JSON *reply = NULL;
    if ((!path && cli_app_env_path(c, "/top?seconds=60", &path, err) < 0) ||
        cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    AUTO_JSON *rows = top_rows(reply);
    cli_print_table(rows, columns, ARRAY_SIZE(columns));
    return 0;
}

int verb_top(struct cli *c, struct err *err)
{
    int result = show_top(c, err);
    while (result == 0 && c->watch) {
        (void)fflush(stdout);
        pause_ms(1000);
        cli_clear_screen();
        result = show_top(c, err);
    }
    return result;
}

/* ---- history ---- */

int verb_history(struct cli *c, struct err *err)
{
    static const struct cli_column rollouts[] = {{"ROLLOUT", "id", CLI_TEXT},
                                                 {"KIND", "kind", CLI_TEXT},
                                                 {"RELEASE", "release", CLI_TEXT},
                                                 {"FROM", "from_release", CLI_TEXT},
                                                 {"STATE", "state", CLI_TEXT},
                                                 {"BY", "by", CLI_TEXT},
                                                 {"AGE", "at", CLI_AGE}};
    static const struct cli_column releases[] = {{"RELEASE", "number", CLI_TEXT},
                                                 {"BUILD", "build", CLI_TEXT},
                                                 {"COMMIT", "commit", CLI_SHORT},
                                                 {"BRANCHES", "branches", CLI_LIST},
                                                 {"ARTIFACT", "artifact", CLI_DIGEST},
                                                 {"BAD", "bad", CLI_BOOL},
                                                 {"BY", "by", CLI_TEXT},
                                                 {"AGE", "at", CLI_AGE}};
    static const struct cli_column builds[] = {
        {"BUILD", "number", CLI_TEXT},   {"STATE", "state", CLI_TEXT},
        {"COMMIT", "commit", CLI_SHORT}, {"SAME AS", "same_as", CLI_TEXT},
        {"BRANCHES", "ticks", CLI_LIST}, {"BY", "by", CLI_TEXT},
        {"AGE", "at", CLI_AGE}};
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "rollouts";
    AUTO_FREE char *tail =
        mem_format("/%s?limit=%lld", what, (long long)(c->lines ? c->lines : 20));
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (!text_is(what, "rollouts") && !text_is(what, "releases") && !text_is(what, "builds"))
        return cli_usage("history [releases|rollouts|builds] -e ENV", err);
    if (cli_app_env_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (text_is(what, "rollouts"))
        cli_show(c, reply, "items", rollouts, ARRAY_SIZE(rollouts));
    else if (text_is(what, "releases"))
        cli_show(c, reply, "items", releases, ARRAY_SIZE(releases));
    else
        cli_show(c, reply, "items", builds, ARRAY_SIZE(builds));
    return 0;
}
