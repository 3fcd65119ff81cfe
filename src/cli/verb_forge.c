/* slipway forge: where repositories elsewhere live. */
#include <unistd.h>
#include "base/file.h"
#include "base/str.h"
#include "cli/verbs.h"

#define FILE_MAX_BYTES 65536

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
        return cli_usage(c->usage, err);
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
        return cli_usage(c->usage, err);
    if (text_is(what, "set"))
        return set(c, err);
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *path = mem_format("/forges/%s", escaped);
    if (cli_at_most(c, 2, err) < 0)
        return -1;
    if (text_is(what, "projects"))
        return projects(c, path, err);
    return text_is(what, "rm") ? cli_call(c, "DELETE", path, NULL, &reply, err)
                               : cli_usage(c->usage, err);
}
