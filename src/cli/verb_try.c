/* slipway try: throw-away environments. */
#include "base/str.h"
#include "cli/verbs.h"

static int list(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"TRY", "name", CLI_TEXT},        {"APP", "app", CLI_TEXT},
        {"LIKE", "like", CLI_TEXT},       {"BRANCHES", "branches", CLI_LIST},
        {"RELEASE", "release", CLI_TEXT}, {"STATE", "state", CLI_TEXT},
        {"BY", "by", CLI_TEXT},           {"SINCE", "at", CLI_AGE},
        {"ENDS IN", "left", CLI_TEXT},    {"DOMAIN", "domain", CLI_TEXT},
        {"FOR", "text", CLI_TEXT}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    size_t i;
    json_t *row;
    if (c->app ? cli_app_path(c, "/tries", &path, err) < 0 : (path = mem_strdup("/tries"), false))
        return -1;
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    json_array_foreach(json_list(reply, "items"), i, row)
    {
        int64_t left_ms = json_int(row, "expires_at", 0) - clock_wall_ms(clock_system());
        AUTO_FREE char *left =
            mem_format("%lld h", (long long)(left_ms > 0 ? (left_ms + 3599999) / 3600000 : 0));
        if (!c->json)
            json_put_text(row, "left", left);
    }
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

/* It is made, then released as any env is. */
static int make(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put(body, "branches", cli_words_from(c, 1));
    if (c->like)
        json_put_str(body, "like", str_of(c->like));
    if (c->hours)
        json_put_int(body, "hours", c->hours);
    if (c->text)
        json_put_str(body, "text", str_of(c->text));
    if (cli_app_path(c, "/tries", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    AUTO_JSON *made = json_incref(json_dict(reply, "try"));
    if (c->no_wait && c->json)
        cli_print_json(made);
    else
        cli_progress(c, "%s is like %s\n", json_text_or(made, "name", "?"),
                     json_text_or(made, "like", "?"));
    if (!c->json && !text_is(json_text(made, "automation"), "push"))
        cli_progress(c,
                     "it does not follow pushes, for it has the secrets of %s: 'slipway deploy -e "
                     "%s' brings what is new\n",
                     json_text_or(made, "like", "?"), json_text_or(made, "name", "?"));
    if (c->no_wait)
        return 0;
    c->env = json_text(made, "name");
    c->word_count = 0;
    int result = verb_deploy(c, err);
    c->env = NULL;
    return result;
}

static int act(struct cli *c, const char *what, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *name = cli_escape(cli_word(c, 1) ? cli_word(c, 1) : "");
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    bool ends = text_is(what, "end");
    if (!*name)
        return cli_usage(c->usage, err);
    if (cli_at_most(c, 2, err) < 0 || cli_app_path(c, "/tries/", &path, err) < 0)
        return -1;
    AUTO_FREE char *one = mem_format("%s%s%s", path, name, ends ? "" : "/extend");
    if (!ends && c->hours)
        json_put_int(body, "hours", c->hours);
    if (cli_call(c, ends ? "DELETE" : "POST", one, ends ? NULL : body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(json_dict(reply, "try"));
    else
        cli_print("%s %s\n", cli_word(c, 1), ends ? "ends: what runs is stopped" : "goes on");
    return 0;
}

int verb_try(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    if (text_is(what, "ls"))
        return cli_at_most(c, 1, err) < 0 ? -1 : list(c, err);
    if (text_is(what, "new") && cli_word(c, 1))
        return make(c, err);
    if (text_is(what, "end") || text_is(what, "extend"))
        return act(c, what, err);
    return cli_usage(c->usage, err);
}
