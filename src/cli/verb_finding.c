/* slipway finding: what testers find wrong with a release, and what is done about it. */
#include "base/file.h"
#include "cli/verbs.h"

#define PICTURE_MAX (4u << 20) /* the server's limit: said before anything is filed */

/* Adds NAME=VALUE to a query. */
static void add_query(struct buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    AUTO_FREE char *escaped = cli_escape(value);
    (void)buf_add_format(path, "%c%s=%s", strchr(path->data, '?') ? '&' : '?', name, escaped);
}

static int list(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"NR", "number", CLI_TEXT},       {"ENV", "env", CLI_TEXT},
        {"RELEASE", "release", CLI_TEXT}, {"SEVERITY", "severity", CLI_TEXT},
        {"STATE", "state", CLI_TEXT},     {"WAITS FOR", "waits", CLI_TEXT},
        {"ROUND", "round", CLI_TEXT},     {"BRANCH", "branch", CLI_TEXT},
        {"BY", "by", CLI_TEXT},           {"SINCE", "at", CLI_AGE},
        {"TITLE", "title", CLI_TEXT}};
    AUTO_FREE char *path = NULL;
    AUTO_BUF query = BUF_INIT(0);
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, "/findings", &path, err) < 0)
        return -1;
    (void)buf_add_text(&query, path);
    add_query(&query, "state", c->state ? c->state : "unclosed");
    add_query(&query, "env", c->env);
    add_query(&query, "branch", c->branch);
    if (cli_list(c, query.data, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

/* Which branches of what is live there change files with that in their path. */
static int who(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"BRANCH", "branch", CLI_TEXT},
                                                {"FILES", "file_count", CLI_TEXT},
                                                {"SUCH AS", "files", CLI_LIST}};
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *escaped = cli_escape(cli_word(c, 1) ? cli_word(c, 1) : "");
    AUTO_FREE char *tail = mem_format("/touching?path=%s", escaped);
    AUTO_JSON *reply = NULL;
    if (!*escaped)
        return cli_usage(c->usage, err);
    if (cli_app_env_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "branches", columns, ARRAY_SIZE(columns));
    return 0;
}

static void print_line(const char *name, const char *text)
{
    cli_print("  %-9s ", name);
    cli_print_safe(text);
    cli_print("\n");
}

static void print_finding(const json_t *row)
{
    size_t i;
    json_t *note;
    cli_print("finding %lld  ", (long long)json_int(row, "number", 0));
    cli_print_safe(json_text(row, "title"));
    cli_print("\n");
    cli_print("  in        r%lld of %s\n", (long long)json_int(row, "release", 0),
              json_text_or(row, "env", "?"));
    print_line("severity", json_text(row, "severity"));
    print_line("state", json_text(row, "state"));
    if (json_text(row, "waits"))
        print_line("waits for", text_is(json_text(row, "waits"), "release")
                                    ? "a release: new commits are not deployed"
                                    : json_text(row, "waits"));
    if (json_text(row, "branch"))
        print_line("branch", json_text(row, "branch"));
    json_array_foreach(json_list(row, "notes"), i, note)
    {
        char age[24];
        cli_format_age(json_int(note, "at", 0), age);
        cli_print("  %s ago, ", age);
        cli_print_safe(json_text(note, "by"));
        cli_print(", round %lld, r%lld: %s\n", (long long)json_int(note, "round", 0),
                  (long long)json_int(note, "release", 0), json_text_or(note, "kind", ""));
        if (*json_text_or(note, "text", "")) {
            cli_print("    ");
            cli_print_safe(json_text(note, "text"));
            cli_print("\n");
        }
        if (json_text(note, "link")) {
            cli_print("    lines: ");
            cli_print_safe(json_text(note, "link"));
            cli_print("\n");
        }
    }
    json_array_foreach(json_list(row, "pictures"), i, note)
    {
        char age[24];
        cli_format_age(json_int(note, "at", 0), age);
        cli_print("  %s ago, ", age);
        cli_print_safe(json_text(note, "by"));
        cli_print(": a picture, %s, %lld kB; the console shows it\n",
                  json_text_or(note, "type", "?"), (long long)json_int(note, "bytes", 0) / 1024);
    }
}

static int tell(const struct cli *c, const json_t *row)
{
    if (c->json)
        cli_print_json(row);
    else
        print_finding(row);
    return 0;
}

/* ---- filing and acting ---- */

/* To finding N; *row becomes the finding with it. */
static int send_picture(struct cli *c, int64_t number, const struct buf *picture, json_t **row,
                        struct err *err)
{
    const struct http_sent body = {"application/octet-stream", buf_str(picture)};
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *tail = mem_format("/findings/%lld", (long long)number);
    AUTO_JSON *reply = NULL;
    json_t *now = NULL;
    if (cli_app_path(c, tail, &path, err) < 0)
        return -1;
    AUTO_FREE char *pictures = mem_format("%s/pictures", path);
    if (cli_post_bytes(c, pictures, &body, &reply, err) < 0)
        return err_wrap(err, "the picture was not taken (the rest of finding %lld was)",
                        (long long)number);
    if (cli_get(c, path, &now, err) < 0)
        return -1;
    json_decref(*row);
    *row = now;
    return 0;
}

/* What a finding is filed with, or what is done with one: with the options of both, and told. The
 * picture is read before the server hears of anything: one that is not there leaves no half of a
 * finding. */
static int post(struct cli *c, const char *path, json_t *body, struct err *err)
{
    AUTO_BUF picture = BUF_INIT(PICTURE_MAX);
    AUTO_JSON *reply = NULL;
    if (c->severity)
        json_put_text(body, "severity", c->severity);
    if (c->link)
        json_put_text(body, "link", c->link);
    if (c->picture && file_read(c->picture, PICTURE_MAX, &picture, err) < 0)
        return err_wrap(err, "nothing was filed: the picture must be a file of 4 MiB at most");
    if (cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->picture && send_picture(c, json_int(reply, "number", 0), &picture, &reply, err) < 0)
        return -1;
    return tell(c, reply);
}

static int new_finding(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    if (!c->env)
        return FAIL(err, E_USAGE, "which env was it found in? -e ENV");
    json_put_text(body, "env", c->env);
    json_put_text(body, "title", cli_word(c, 1));
    if (cli_word(c, 2))
        json_put_text(body, "text", cli_word(c, 2));
    if (c->branch)
        json_put_text(body, "branch", c->branch);
    return cli_app_path(c, "/findings", &path, err) < 0 ? -1 : post(c, path, body, err);
}

/* Of the finding that the next word names. */
static int path_of(struct cli *c, char **ret_path, struct err *err)
{
    int64_t number = 0;
    if (str_to_int(str_of(cli_word(c, 1)), 1, 1000000000, "the finding", &number, err) < 0)
        return -1;
    AUTO_FREE char *tail = mem_format("/findings/%lld", (long long)number);
    return cli_app_path(c, tail, ret_path, err);
}

static int show(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (path_of(c, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    return tell(c, reply);
}

static int act(struct cli *c, const char *what, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    json_put_text(body, "act", what);
    if (cli_word(c, 2))
        json_put_text(body, text_is(what, "assign") ? "branch" : "text", cli_word(c, 2));
    return path_of(c, &path, err) < 0 ? -1 : post(c, path, body, err);
}

int verb_finding(struct cli *c, struct err *err)
{
    static const char *const acts[] = {"fix", "close", "reopen", "note", "assign"};
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list(c, err);
    if (text_is(what, "who"))
        return who(c, err);
    if (text_is(what, "new") && cli_word(c, 1))
        return new_finding(c, err);
    if (text_is(what, "show") && cli_word(c, 1))
        return cli_at_most(c, 2, err) < 0 ? -1 : show(c, err);
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
        if (text_is(what, acts[i]) && cli_word(c, 1))
            return act(c, what, err);
    return cli_usage(c->usage, err);
}
