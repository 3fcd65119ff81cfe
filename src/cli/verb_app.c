/* app, env, branch, tick, untick, config, secret. */
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "cli/verbs.h"

/* ---- app ---- */

static int list_apps(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"APP", "name", CLI_TEXT},
                                                {"TRUNK", "trunk", CLI_TEXT},
                                                {"CREATED", "created_at", CLI_AGE}};
    AUTO_JSON *reply = NULL;
    if (cli_list(c, "/apps", &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

static void say_push(const char *name, const char *git, const char *trunk)
{
    AUTO_FREE char *word = cli_shell_word(trunk);
    cli_print("created %s\npush an existing repository:  git push %s ", name, git);
    cli_print_safe(word);
    cli_print("\n");
}

static int create_app(struct cli *c, const char *name, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put_text(body, "name", name);
    bool elsewhere = c->from || c->forge;
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *path = mem_format("/apps/%s", escaped);
    if (c->ref)
        json_put_text(body, "trunk", c->ref);
    cli_put_origin(c, c->from, body);
    if (cli_call(c, "POST", "/apps", body, &reply, err) < 0)
        return -1;
    if (elsewhere && !c->json)
        cli_print("created %s\n", name);
    if (elsewhere && !c->no_wait)
        return cli_origin_fetch(c, path, err);
    if (c->json)
        cli_print_json(reply);
    else if (!elsewhere)
        say_push(name, json_text_or(reply, "git", "?"), json_text_or(reply, "trunk", "main"));
    return 0;
}

int verb_app(struct cli *c, struct err *err)
{
    static const char *const of_origin[] = {"origin", "follow", "unfollow", "fetch", "hook"};
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    const char *name = cli_word(c, 1);
    AUTO_JSON *reply = NULL;
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list_apps(c, err);
    if (!name)
        return cli_usage(c->usage, err);
    if (text_is(what, "create"))
        return create_app(c, name, err);
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *path = mem_format("/apps/%s", escaped);
    if (text_is(what, "remove"))
        return cli_call(c, "DELETE", path, NULL, &reply, err);
    for (size_t i = 0; i < ARRAY_SIZE(of_origin); i++)
        if (text_is(what, of_origin[i]))
            return cli_app_origin(c, what, path, err);
    if (!text_is(what, "show"))
        return cli_usage(c->usage, err);
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("app    %s\ntrunk  %s\ngit    %s\n", json_text_or(reply, "name", "?"),
                  json_text_or(reply, "trunk", "?"), json_text_or(reply, "git", "?"));
    return 0;
}

/* ---- env ---- */

json_t *cli_words_from(const struct cli *c, size_t first)
{
    json_t *list = json_array();
    for (size_t i = first; i < c->word_count; i++)
        json_push(list, json_str_value(str_of(c->words[i])));
    return list;
}

/* All that there are, or these in their place; "none" is no domain that anybody has. */
static int domains(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    const char *first = cli_word(c, 1);
    bool none = text_is(first, "none") && c->word_count == 2;
    json_put(body, "domains", none ? json_array() : cli_words_from(c, 1));
    if (cli_app_env_path(c, first ? "/domains" : "", &path, err) < 0 ||
        (first ? cli_call(c, "PUT", path, body, &reply, err) : cli_get(c, path, &reply, err)) < 0)
        return -1;
    if (!first) { /* of all that is told of the app-env */
        AUTO_JSON *found = json_object();
        json_put(found, "domains", json_incref(json_list(reply, "domains")));
        json_decref(reply);
        reply = TAKE(found);
    }
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    size_t i;
    json_t *domain;
    json_array_foreach(json_list(reply, "domains"), i, domain)
    {
        cli_print_safe(json_string_value(domain));
        cli_print("\n");
    }
    return 0;
}

static int set_automation(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put_text(body, "when", cli_word(c, 1));
    if (cli_at_most(c, 2, err) < 0 || cli_app_env_path(c, "/automation", &path, err) < 0)
        return -1;
    return cli_call(c, "PUT", path, body, &reply, err);
}

int verb_env(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"ENV", "name", CLI_TEXT},
                                                {"POSITION", "position", CLI_TEXT},
                                                {"CONFLICTS", "policy", CLI_TEXT},
                                                {"PURPOSE", "purpose", CLI_TEXT}};
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    AUTO_JSON *reply = NULL;
    if (text_is(what, "domains"))
        return domains(c, err);
    if (text_is(what, "automation") && cli_word(c, 1))
        return set_automation(c, err);
    bool moves = text_is(what, "position");
    bool changes = moves || text_is(what, "purpose") || text_is(what, "policy") ||
                   text_is(what, "culprits") || text_is(what, "gate");
    if (cli_at_most(c, text_is(what, "ls") ? 1 : changes ? 3 : 2, err) < 0)
        return -1;
    if (changes && cli_word(c, 2)) {
        AUTO_FREE char *env = cli_escape(cli_word(c, 1));
        AUTO_FREE char *path = mem_format("/envs/%s", env);
        AUTO_JSON *body = json_object();
        int64_t position = 0;
        if (moves &&
            str_to_int(str_of(cli_word(c, 2)), 0, 100000, "the position", &position, err) < 0)
            return -1;
        if (moves)
            json_put_int(body, what, position);
        else
            json_put_text(body, what, cli_word(c, 2));
        return cli_call(c, "PUT", path, body, &reply, err);
    }
    if (text_is(what, "certificate") && cli_word(c, 1))
        return cli_certificate_set(c, cli_word(c, 1), err);
    if (text_is(what, "add") && cli_word(c, 1)) {
        AUTO_JSON *body = json_object();
        json_put_text(body, "name", cli_word(c, 1));
        if (c->like)
            json_put_text(body, "like", c->like);
        return cli_call(c, "POST", "/envs", body, &reply, err);
    }
    if (!text_is(what, "ls"))
        return cli_usage(c->usage, err);
    if (cli_list(c, "/envs", &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

/* ---- config ---- */

static int check_config(struct cli *c, struct err *err)
{
    const char *file = cli_word(c, 1) ? cli_word(c, 1) : "slipway.yaml";
    AUTO_BUF content = BUF_INIT(0);
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (file_read(file, 262144, &content, err) < 0)
        return -1;
    json_put_str(body, "text", buf_str(&content));
    if (c->env)
        json_put_text(body, "env", c->env);
    if (cli_call(c, "POST", "/config/check", body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s is good\n", file);
    return 0;
}

static int show_config(struct cli *c, struct err *err)
{
    AUTO_FREE char *env = cli_escape(c->env ? c->env : "dev");
    AUTO_FREE char *ref = c->ref ? cli_escape(c->ref) : NULL;
    AUTO_FREE char *tail =
        mem_format("/config?env=%s%s%s", env, ref ? "&ref=" : "", ref ? ref : "");
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    AUTO_FREE char *text =
        json_dumps(json_dict(reply, "config"), JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    cli_print("%s\n", text ? text : "");
    return 0;
}

int verb_config(struct cli *c, struct err *err)
{
    if (text_is(cli_word(c, 0), "check"))
        return check_config(c, err);
    if (text_is(cli_word(c, 0), "show"))
        return cli_at_most(c, 1, err) < 0 ? -1 : show_config(c, err);
    return cli_usage(c->usage, err);
}

/* ---- secret ---- */

static int list_secrets(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"NAME", "name", CLI_TEXT},
                                                {"KIND", "kind", CLI_TEXT},
                                                {"VERSION", "version", CLI_TEXT},
                                                {"BY", "by", CLI_TEXT},
                                                {"SET", "at", CLI_AGE}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, "/secrets", &path, err) < 0 || cli_list(c, path, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

/* The value comes from stdin, never from an argument that `ps` would show. */
static int set_secret(struct cli *c, const char *path, struct err *err)
{
    AUTO_BUF value = BUF_INIT(131072);
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (cli_is_terminal(STDIN_FILENO))
        cli_tell("type the value, end with Ctrl-D:\n");
    if (file_read_fd(STDIN_FILENO, 131072, &value, err) < 0)
        return -1;
    if (!str_is_utf8(buf_str(&value)) || memchr(value.data ? value.data : "", 0, value.length))
        return FAIL(err, E_VALUE_INVALID,
                    "the value is not text: send it by the API as 'value_b64'");
    json_put_str(body, "value", buf_str(&value));
    if (c->kind)
        json_put_text(body, "kind", c->kind);
    if (cli_call(c, "PUT", path, body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s is at version %lld; it reaches instances with the next release\n",
                  json_text_or(reply, "name", "?"), (long long)json_int(reply, "version", 0));
    return 0;
}

int verb_secret(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list_secrets(c, err);
    if (!cli_word(c, 1))
        return cli_usage(c->usage, err);
    AUTO_FREE char *name = cli_escape(cli_word(c, 1));
    AUTO_FREE char *tail = mem_format("/secrets/%s", name);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    if (text_is(what, "set"))
        return set_secret(c, path, err);
    if (text_is(what, "rm"))
        return cli_call(c, "DELETE", path, NULL, &reply, err);
    return cli_usage(c->usage, err);
}
