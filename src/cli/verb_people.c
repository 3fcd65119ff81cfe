/* user, role and token. */
#include <stdio.h>

#include "base/str.h"
#include "cli/verbs.h"

/* The address that serves us serves the other one too; on the machine itself the server says one.
 */
static int show_link(const struct cli *c, const json_t *reply)
{
    const char *address = c->address ? c->address : json_text_or(reply, "address", "");
    size_t length = strlen(address);
    while (length && address[length - 1] == '/')
        length--;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s signs in once with:  slipway setup %.*s/setup/%s\n",
                  json_text_or(reply, "user", "?"), (int)length, address,
                  json_text_or(reply, "link", "?"));
    const json_t *token = json_array_get(json_list(reply, "tokens"), 0);
    if (token && !c->json)
        cli_tell(
            "sessions end when it is used; %zu API tokens stay, for programs use them: 'slipway "
            "token rm %s/%s' ends one\n",
            json_array_size(json_list(reply, "tokens")), json_text_or(reply, "user", "?"),
            json_text_or(token, "name", "?"));
    return 0;
}

static int change_grant(struct cli *c, const char *method, const char *name, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (!c->role)
        return FAIL(err, E_USAGE, "which role? say --role ROLE; 'slipway role ls' lists them");
    json_put_text(body, "user", name);
    json_put_text(body, "role", c->role);
    if (c->app)
        json_put_text(body, "app", c->app);
    if (c->env)
        json_put_text(body, "env", c->env);
    return cli_call(c, method, "/grants", body, &reply, err);
}

/* "ops@shop.prod, viewer": where a role holds, when not everywhere. */
static char *roles_text(const json_t *grants)
{
    struct buf out = BUF_INIT(0);
    size_t i;
    json_t *grant;
    json_array_foreach(grants, i, grant)
    {
        const char *app = json_text(grant, "app"), *env = json_text(grant, "env");
        (void)buf_add_format(&out, "%s%s%s%s%s%s", i ? ", " : "", json_text_or(grant, "role", "?"),
                             app || env ? "@" : "",
                             app   ? app
                             : env ? "*"
                                   : "",
                             env ? "." : "", env ? env : ""); /* unlimited: cannot fail */
    }
    return buf_take(&out);
}

static int list_users(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"NAME", "name", CLI_TEXT}, {"ROLES", "roles", CLI_TEXT}, {"SINCE", "created_at", CLI_AGE}};
    AUTO_JSON *reply = NULL;
    if (cli_list(c, "/users", &reply, err) < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(c->json ? NULL : json_list(reply, "items"), i, row)
    {
        AUTO_FREE char *roles = roles_text(json_list(row, "grants"));
        json_put_text(row, "roles", roles);
    }
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

static int add_user(struct cli *c, const char *name, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put_text(body, "name", name);
    if (c->role)
        json_put_text(body, "role", c->role);
    if (c->app)
        json_put_text(body, "app", c->app);
    if (c->env)
        json_put_text(body, "env", c->env);
    return cli_call(c, "POST", "/users", body, &reply, err) < 0 ? -1 : show_link(c, reply);
}

static int named_user(struct cli *c, const char *method, const char *tail, bool link,
                      struct err *err)
{
    AUTO_FREE char *name = cli_escape(cli_word(c, 1));
    AUTO_FREE char *path = mem_format("/users/%s%s", name, tail);
    AUTO_JSON *body = link ? json_object() : NULL;
    AUTO_JSON *reply = NULL;
    if (cli_call(c, method, path, body, &reply, err) < 0)
        return -1;
    return link ? show_link(c, reply) : 0;
}

int verb_user(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list_users(c, err);
    if (!cli_word(c, 1))
        return cli_usage(c->usage, err);
    bool scope = c->app || c->env || c->role;
    if (scope && (text_is(what, "reset") || text_is(what, "remove")))
        return cli_usage(c->usage, err); /* it is about the person as such */
    if (text_is(what, "add"))
        return add_user(c, cli_word(c, 1), err);
    if (text_is(what, "reset"))
        return named_user(c, "POST", "/reset", true, err);
    if (text_is(what, "remove"))
        return named_user(c, "DELETE", "", false, err);
    if (text_is(what, "grant"))
        return change_grant(c, "POST", cli_word(c, 1), err);
    if (text_is(what, "revoke"))
        return change_grant(c, "DELETE", cli_word(c, 1), err);
    return cli_usage(c->usage, err);
}

/* ---- role ---- */

static int list_roles(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"ROLE", "role", CLI_TEXT}, {"ENV", "env", CLI_TEXT}, {"MAY", "rights", CLI_LIST}};
    AUTO_JSON *reply = NULL;
    AUTO_JSON *rows = json_array();
    const char *role, *env;
    json_t *envs, *rights;
    if (cli_get(c, "/grants", &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(json_dict(reply, "roles"));
        return 0;
    }
    json_object_foreach(json_object_get(reply, "roles"), role, envs)
    {
        json_object_foreach(envs, env, rights)
        {
            json_t *row = json_object();
            json_put_text(row, "role", role);
            json_put_text(row, "env", env);
            json_put(row, "rights", json_incref(rights));
            json_push(rows, row);
        }
    }
    cli_print_table(rows, columns, ARRAY_SIZE(columns));
    return 0;
}

static int change_rights(struct cli *c, const char *method, struct err *err)
{
    AUTO_FREE char *role = cli_escape(cli_word(c, 1));
    AUTO_FREE char *path = mem_format("/roles/%s/rights", role);
    for (size_t i = 2; i < c->word_count; i++) {
        AUTO_JSON *body = json_object();
        AUTO_JSON *reply = NULL;
        json_put_text(body, "permission", c->words[i]);
        if (c->env)
            json_put_text(body, "env", c->env);
        if (cli_call(c, method, path, body, &reply, err) < 0)
            return err_wrap(err, "%.40s", c->words[i]);
    }
    return 0;
}

int verb_role(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    if (text_is(what, "ls") && !cli_word(c, 1))
        return list_roles(c, err);
    if (text_is(what, "allow") && cli_word(c, 2))
        return change_rights(c, "PUT", err);
    if (text_is(what, "deny") && cli_word(c, 2))
        return change_rights(c, "DELETE", err);
    return cli_usage("role ls | role allow|deny ROLE RIGHT... [-e ENV]", err);
}

/* ---- token ---- */

static int list_tokens(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"NAME", "name", CLI_TEXT},
                                                {"KIND", "kind", CLI_TEXT},
                                                {"READ-ONLY", "read_only", CLI_BOOL},
                                                {"CREATED", "created_at", CLI_AGE},
                                                {"USED", "used_at", CLI_AGE}};
    AUTO_JSON *reply = NULL;
    if (cli_list(c, "/tokens", &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

static int new_token(struct cli *c, const char *name, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put_text(body, "name", name);
    if (c->days)
        json_put_int(body, "days", c->days);
    if (c->read_only)
        json_put_bool(body, "read_only", true);
    if (c->app)
        json_put_text(body, "app", c->app);
    if (cli_call(c, "POST", "/tokens", body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s\n", json_text_or(reply, "token", "?"));
    return 0;
}

int verb_token(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    const char *name = cli_word(c, 1);
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list_tokens(c, err);
    if (text_is(what, "new") && name)
        return new_token(c, name, err);
    if (!text_is(what, "rm") || !name)
        return cli_usage("token ls|new|rm [NAME]", err);
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *path = mem_format("/tokens/%s", escaped);
    AUTO_JSON *reply = NULL;
    return cli_call(c, "DELETE", path, NULL, &reply, err);
}
