/* The part of slipway app that follows a repository elsewhere. */
#include "base/str.h"
#include "cli/verbs.h"

#define WATCH_MS 300

void cli_put_origin(const struct cli *c, const char *url, json_t *body)
{
    if (url)
        json_put_str(body, "url", str_of(url));
    if (c->forge)
        json_put_str(body, "forge", str_of(c->forge));
    if (c->project)
        json_put_str(body, "project", str_of(c->project));
    if (c->once)
        json_put_bool(body, "once", true);
}

static void print_time(const char *name, const json_t *row, const char *key)
{
    char age[24];
    if (!json_int(row, key, 0))
        return;
    cli_format_age(json_int(row, key, 0), age);
    cli_print("%-11s %s ago\n", name, age);
}

static void print_text(const char *name, const char *text)
{
    if (!text)
        return;
    cli_print("%-11s ", name);
    cli_print_safe(text);
    cli_print("\n");
}

static void print_origin(const json_t *row)
{
    print_text("follows", json_text(row, "url"));
    print_text("forge", json_text(row, "forge"));
    print_text("state", json_text(row, "state"));
    print_text("trouble", json_text(json_dict(row, "error"), "text"));
    print_time("fetched", row, "fetched_at");
    print_time("moved", row, "moved_at");
    print_text("webhook", json_text(row, "hook"));
    print_text("", json_text(row, "hook_text"));
    if (text_is(json_text(row, "hook"), "refused"))
        print_text("", "make one by hand: 'slipway app hook' says its address and secret");
    if (json_int(row, "deliveries", 0) > 0)
        cli_print("deliveries  %lld (%lld came twice)\n", (long long)json_int(row, "deliveries", 0),
                  (long long)json_int(row, "duplicates", 0));
}

static void show_progress(const struct cli *c, const json_t *row)
{
    const json_t *progress = json_dict(row, "progress");
    const char *stage = json_text(progress, "stage");
    AUTO_FREE char *line = stage ? mem_format("fetching: %s objects %lld %%", stage,
                                              (long long)json_int(progress, "percent", 0))
                                 : mem_strdup("fetching ...");
    cli_progress_line(c, line);
}

/* What runs already (an app that was just made): shown as long as it does. Refs that it moved. */
static int64_t watch_fetch(struct cli *c, const char *path)
{
    struct err ignored = ERR_INIT;
    AUTO_FREE char *origin = mem_format("%s/origin", path);
    bool seen = false;
    for (;;) {
        AUTO_JSON *row = NULL;
        cli_nap(WATCH_MS);
        if (cli_get(c, origin, &row, &ignored) < 0)
            return 0; /* the fetch itself will say what it is */
        if (!json_bool(row, "fetching", false))
            return seen ? json_int(row, "moved", 0) : 0;
        seen = true;
        show_progress(c, row);
    }
}

/* To the end of a fetch that begins now. */
int cli_origin_fetch(struct cli *c, const char *path, struct err *err)
{
    AUTO_FREE char *fetch = mem_format("%s/origin/fetch", path);
    AUTO_JSON *reply = NULL;
    cli_progress_line(c, "fetching ...");
    int64_t moved = cli_progress_is_terminal(c) ? watch_fetch(c, path) : 0;
    int result = cli_call(c, "POST", fetch, NULL, &reply, err);
    cli_progress_line(c, NULL);
    if (result < 0 && err->kind == E_NOT_FOUND && c->once) { /* it was there, and follows no more */
        *err = (struct err)ERR_INIT;
        cli_progress(c, "imported\n");
        return 0;
    }
    if (result < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("fetched: %lld branches and tags moved\n",
                  (long long)(moved + json_int(reply, "count", 0)));
    return 0;
}

static int follow(struct cli *c, const char *path, struct err *err)
{
    AUTO_FREE char *origin = mem_format("%s/origin", path);
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    cli_put_origin(c, cli_word(c, 2), body);
    if (c->replace)
        json_put_bool(body, "replace", true);
    if (cli_call(c, "PUT", origin, body, &reply, err) < 0)
        return -1;
    return c->no_wait ? 0 : cli_origin_fetch(c, path, err);
}

static int show_hook(struct cli *c, const char *path, struct err *err)
{
    AUTO_FREE char *hook = mem_format("%s/origin/hook", path);
    AUTO_JSON *reply = NULL;
    if (cli_get(c, hook, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    print_text("address", json_text(reply, "url"));
    print_text("secret", json_text(reply, "secret"));
    print_text("content", "application/json, on push, tags and merge requests");
    return 0;
}

int cli_app_origin(struct cli *c, const char *what, const char *path, struct err *err)
{
    AUTO_FREE char *origin = mem_format("%s/origin", path);
    AUTO_JSON *reply = NULL;
    if (text_is(what, "follow"))
        return follow(c, path, err);
    if (cli_at_most(c, 2, err) < 0)
        return -1;
    if (text_is(what, "unfollow"))
        return cli_call(c, "DELETE", origin, NULL, &reply, err);
    if (text_is(what, "fetch"))
        return cli_origin_fetch(c, path, err);
    if (text_is(what, "hook"))
        return show_hook(c, path, err);
    if (cli_get(c, origin, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        print_origin(reply);
    return 0;
}
