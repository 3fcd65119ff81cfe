/* slipway forge: where repositories elsewhere live; and the part of slipway app that follows one.
 */
#include <unistd.h>
#include "base/file.h"
#include "base/str.h"
#include "cli/verbs.h"

static const char usage[] = "forge ls | forge set NAME gitlab|github|gitea|git URL [--login USER] "
                            "[--key FILE --known-hosts "
                            "FILE] [--cert FILE] (the token is read from stdin) | forge projects "
                            "NAME [--match TEXT] | forge "
                            "rm NAME";

#define FILE_MAX_BYTES 65536

/* ---- forges ---- */

static int list(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"FORGE", "name", CLI_TEXT}, {"KIND", "kind", CLI_TEXT}, {"URL", "url", CLI_TEXT},
        {"AS", "seen_as", CLI_TEXT}, {"APPS", "apps", CLI_TEXT}, {"SINCE", "at", CLI_AGE}};
    AUTO_JSON *reply = NULL;
    if (cli_list(c, "/forges", &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

static int put_file(json_t *body, const char *name, const char *path, struct err *err)
{
    AUTO_BUF text = BUF_INIT(FILE_MAX_BYTES);
    if (!path)
        return 0;
    if (file_read(path, FILE_MAX_BYTES, &text, err) < 0)
        return -1;
    if (!str_is_utf8(buf_str(&text)) || text.length == 0)
        return FAIL(err, E_VALUE_INVALID, "'%s' holds no text", path);
    json_put_str(body, name, buf_str(&text));
    return 0;
}

/* One line; over ssh there is none. */
static int put_token(const struct cli *c, json_t *body, struct err *err)
{
    AUTO_BUF text = BUF_INIT(4096);
    if (c->key)
        return 0;
    if (cli_is_terminal(STDIN_FILENO))
        cli_tell("paste the token, end with Ctrl-D:\n");
    if (file_read_fd(STDIN_FILENO, 4096, &text, err) < 0)
        return -1;
    struct str token = buf_str(&text);
    while (str_ends(token, "\n") || str_ends(token, "\r"))
        token.length--;
    token = str_trim(token);
    if (token.length > 0)
        json_put_str(body, "token", token);
    return 0;
}

static int set(struct cli *c, struct err *err)
{
    static const char *const names[] = {"name", "kind", "url"};
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (!cli_word(c, 3))
        return cli_usage(usage, err);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        json_put_str(body, names[i], str_of(cli_word(c, i + 1)));
    if (c->login)
        json_put_str(body, "login", str_of(c->login));
    if (put_file(body, "key", c->key, err) < 0 ||
        put_file(body, "known_hosts", c->known_hosts, err) < 0 ||
        put_file(body, "ca", c->cert, err) < 0 || put_token(c, body, err) < 0 ||
        cli_call(c, "PUT", "/forges", body, &reply, err) < 0)
        return -1;
    const char *seen = json_text(reply, "seen_as");
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    cli_print("%s is set", json_text_or(reply, "name", "?"));
    if (seen) {
        cli_print("; it knows us as ");
        cli_print_safe(seen);
    }
    cli_print("\n");
    return 0;
}

static int projects(struct cli *c, const char *path, struct err *err)
{
    static const struct cli_column columns[] = {{"PROJECT", "project", CLI_TEXT},
                                                {"TRUNK", "trunk", CLI_TEXT},
                                                {"URL", "url", CLI_TEXT},
                                                {"ARCHIVED", "archived", CLI_BOOL}};
    AUTO_JSON *all = json_object();
    json_t *rows = json_array();
    json_put(all, "projects", rows);
    for (int64_t page = 1; page > 0;) {
        AUTO_JSON *reply = NULL;
        AUTO_FREE char *match = cli_escape(c->match ? c->match : "");
        AUTO_FREE char *query = mem_format("%s/projects?page=%lld%s%s", path, (long long)page,
                                           *match ? "&match=" : "", match);
        if (cli_get(c, query, &reply, err) < 0)
            return -1;
        (void)json_array_extend(rows, json_list(reply, "projects")); /* fails without memory only */
        page = json_int(reply, "next", 0);
    }
    json_put(all, "next", json_null());
    cli_show(c, all, "projects", columns, ARRAY_SIZE(columns));
    return 0;
}

int verb_forge(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls", *name = cli_word(c, 1);
    AUTO_JSON *reply = NULL;
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list(c, err);
    if (!name)
        return cli_usage(usage, err);
    if (text_is(what, "set"))
        return set(c, err);
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *path = mem_format("/forges/%s", escaped);
    if (cli_at_most(c, 2, err) < 0)
        return -1;
    if (text_is(what, "projects"))
        return projects(c, path, err);
    return text_is(what, "rm") ? cli_call(c, "DELETE", path, NULL, &reply, err)
                               : cli_usage(usage, err);
}

/* ---- what an app follows ---- */

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

/* To the end of a fetch that begins now. */
int cli_origin_fetch(struct cli *c, const char *path, struct err *err)
{
    AUTO_FREE char *fetch = mem_format("%s/origin/fetch", path);
    AUTO_JSON *reply = NULL;
    cli_progress_line(c, "fetching ...");
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
                  (long long)json_int(reply, "count", 0));
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
