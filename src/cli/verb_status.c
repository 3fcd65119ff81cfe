/* status, top, history. */
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/verbs.h"

/* ---- status ---- */

/* The branches of the live release, or, not_yet, those that are ticked and not in it. */
static json_t *branches_of(const json_t *state, bool not_yet)
{
    json_t *names = json_array();
    const json_t *live = json_list(json_dict(state, "release"), "branches");
    size_t i, k;
    json_t *row, *other;
    json_array_foreach(not_yet ? json_list(state, "ticks") : live, i, row)
    {
        const char *name = json_text_or(row, "branch", "?");
        bool deployed = false;
        json_array_foreach(live, k, other) deployed |= text_is(json_text(other, "branch"), name);
        if (!not_yet || !deployed)
            json_push(names, json_string(name));
    }
    return names;
}

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
    json_put(row, "branches", branches_of(state, false));
    json_put(row, "not_yet", branches_of(state, true));
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
        {"BRANCHES", "branches", CLI_LIST}, {"TICKED, NOT LIVE", "not_yet", CLI_LIST},
        {"ROLLOUT", "rollout", CLI_TEXT},   {"DOMAIN", "domain", CLI_TEXT}};
    AUTO_JSON *apps = NULL;
    AUTO_JSON *rows = json_array();
    bool found = false;
    if (cli_list(c, "/apps", &apps, err) < 0)
        return -1;
    size_t i;
    json_t *app;
    json_array_foreach(json_list(apps, "items"), i, app)
    {
        const char *name = json_text_or(app, "name", "?");
        bool wanted = !c->app || text_is(c->app, name);
        found |= wanted;
        if (wanted && add_app_rows(c, name, rows, err) < 0)
            return -1;
    }
    if (c->app && !found)
        return FAIL(err, E_NOT_FOUND, "there is no app '%.40s' that you may see", c->app);
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

static void print_branches(const char *title, const json_t *state, bool not_yet)
{
    AUTO_JSON *names = branches_of(state, not_yet);
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        cli_print("%s%s%s", i ? "" : title, i ? ", " : ": ", json_string_value(name));
    }
    if (json_array_size(names))
        cli_print("\n");
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
    cli_print("%s in %s: ", json_text_or(state, "app", "?"), json_text_or(state, "env", "?"));
    cli_print_address(state);
    print_branches("branches", state, false);
    print_branches("ticked, not live yet", state, true);
    cli_print_table(json_list(state, "instances"), columns, ARRAY_SIZE(columns));
    if (json_is_object(json_object_get(state, "rollout")))
        print_plan(json_dict(state, "rollout"));
    return 0;
}

static int show_status(struct cli *c, struct err *err)
{
    return c->env ? show_app_env(c, err) : show_overview(c, err);
}

/* Show again every second; a restart of the server is ridden over. */
static int watch(struct cli *c, int (*show)(struct cli *c, struct err *err), struct err *err)
{
    int64_t away_since_ms = 0;
    bool seen = false; /* once */
    int result = show(c, err);
    while (c->watch && (result == 0 || seen)) {
        seen = true;
        struct err failure = *err;
        if (result < 0 && cli_ride(&away_since_ms, &failure, err) < 0)
            return -1;
        if (result == 0) {
            away_since_ms = 0;
            (void)fflush(stdout);
            cli_nap(1000);
            cli_clear_screen();
        }
        result = show(c, err);
    }
    return result;
}

int verb_status(struct cli *c, struct err *err)
{
    return watch(c, show_status, err);
}

/* ---- top ---- */

static json_t *top_rows(const json_t *reply)
{
    json_t *rows = json_array();
    const char *name;
    json_t *app_env;
    json_object_foreach(json_dict(reply, "app_envs"), name, app_env)
    {
        const json_t *sum = json_dict(app_env, "sum");
        int64_t requests = json_int(sum, "requests", 0);
        int64_t us = json_int(sum, "us_sum", 0);
        json_t *row = json_object();
        AUTO_FREE char *mean =
            mem_format("%.2f ms", requests ? (double)us / (double)requests / 1000.0 : 0.0);
        AUTO_FREE char *worst = mem_format("%.2f ms", (double)json_int(sum, "us_max", 0) / 1000.0);
        json_put_text(row, "name", name);
        json_put_int(row, "requests", requests);
        json_put_int(row, "errors", json_int(sum, "errors", 0));
        json_put_text(row, "mean", mean);
        json_put_text(row, "max", worst);
        json_push(rows, row);
    }
    return rows;
}

static int read_since(const struct cli *c, int64_t *ret_seconds, struct err *err)
{
    int64_t ms = 60000;
    if (c->since && str_to_ms(str_of(c->since), "--since", &ms, err) < 0)
        return -1;
    if (ms < 1000 || ms > 3600000)
        return FAIL(err, E_USAGE, "'--since' is from 1s to 1h: counts are kept for one hour");
    *ret_seconds = ms / 1000;
    return 0;
}

static int show_top(struct cli *c, struct err *err)
{
    int64_t seconds = 60;
    if (read_since(c, &seconds, err) < 0)
        return -1;
    AUTO_FREE char *title = mem_format("REQUESTS/%s", c->since ? c->since : "60s");
    AUTO_FREE char *tail = mem_format("/top?seconds=%lld", (long long)seconds);
    AUTO_FREE char *path = c->env ? NULL : mem_strdup(tail);
    AUTO_JSON *reply = NULL;
    const struct cli_column columns[] = {{"APP.ENV", "name", CLI_TEXT},
                                         {title, "requests", CLI_TEXT},
                                         {"ERRORS", "errors", CLI_TEXT},
                                         {"MEAN", "mean", CLI_TEXT},
                                         {"MAX", "max", CLI_TEXT}};
    if ((!path && cli_app_env_path(c, tail, &path, err) < 0) || cli_get(c, path, &reply, err) < 0)
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
    return watch(c, show_top, err);
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
    AUTO_FREE char *after = cli_escape(c->after ? c->after : "0");
    AUTO_FREE char *tail =
        mem_format("/%s?limit=%lld&after=%s", what, (long long)(c->lines ? c->lines : 20), after);
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
