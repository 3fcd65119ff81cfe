/* slipway land: what the last env runs becomes trunk. */
#include "base/json.h"
#include "base/mem.h"
#include "cli/verbs.h"

static void print_landed(const json_t *landing)
{
    const json_t *result = json_dict(landing, "result");
    const char *env, *name;
    json_t *names, *row;
    size_t i;
    if (text_is(json_text(landing, "state"), "asked")) {
        cli_print("trunk is protected where it lives. Merge this, and r%lld has landed:\n  ",
                  (long long)json_int(landing, "release", 0));
        cli_print_safe(json_text(json_dict(result, "merge_request"), "link"));
        cli_print("\n");
        return;
    }
    if (!text_is(json_text(landing, "state"), "done")) {
        cli_print("landing %lld goes on when the courier is back: 'slipway land ls' shows it\n",
                  (long long)json_int(landing, "id", 0));
        return;
    }
    const char *tag = json_text_or(landing, "tag", "");
    AUTO_FREE char *tagged =
        *tag ? mem_format("tag %s", tag) : mem_strdup("no tag: it was refused there");
    cli_print("r%lld of %s is ", (long long)json_int(landing, "release", 0),
              json_text_or(landing, "env", "?"));
    if (json_bool(result, "moved", false))
        cli_print("trunk now: %.9s -> %.9s, %s\n", json_text_or(result, "from", "?"),
                  json_text_or(landing, "commit", "?"), tagged);
    else
        cli_print("on trunk already%s, %s\n",
                  json_bool(result, "squashed", false) ? " (squashed: by other commits)" : "",
                  tagged);
    json_object_foreach(json_dict(result, "unticked"), env, names)
    {
        cli_print("  unticked in %s: ", env);
        cli_print_names(names);
        cli_print("\n");
    }
    json_array_foreach(json_list(result, "behind"), i, row)
    {
        name = json_text_or(row, "env", "?");
        cli_print("  %s runs r%lld, without the new trunk: slipway deploy -e %s\n", name,
                  (long long)json_int(row, "release", 0), name);
    }
}

static int list(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"ID", "id", CLI_TEXT},          {"ENV", "env", CLI_TEXT}, {"RELEASE", "release", CLI_TEXT},
        {"COMMIT", "commit", CLI_SHORT}, {"TAG", "tag", CLI_TEXT}, {"STATE", "state", CLI_TEXT},
        {"BY", "by", CLI_TEXT},          {"AGE", "at", CLI_AGE}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, "/landings", &path, err) < 0 || cli_list(c, path, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

static int plan(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    size_t i;
    json_t *row;
    if (cli_app_path(c, "/landing", &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    const json_t *refused = json_object_get(reply, "refused");
    if (json_is_object(refused)) {
        cli_print_safe(json_text(refused, "text"));
        cli_print("\n");
        return 0;
    }
    cli_print("r%lld of %s (%.9s) would be trunk, with the tag %s%s\n",
              (long long)json_int(reply, "release", 0), json_text_or(reply, "env", "?"),
              json_text_or(reply, "commit", "?"), json_text_or(reply, "tag", "?"),
              json_bool(reply, "landed", false) ? "; it is already" : "");
    json_array_foreach(json_list(reply, "branches"), i, row)
    {
        cli_print("  ");
        cli_print_safe(json_text(row, "branch"));
        cli_print(" %.9s\n", json_text_or(row, "tip", "?"));
    }
    return 0;
}

/* One that waits for its merge request. */
static int cancel(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *id = cli_escape(cli_word(c, 1) ? cli_word(c, 1) : "");
    AUTO_JSON *reply = NULL;
    if (!*id)
        return cli_usage(c->usage, err);
    if (cli_app_path(c, "/landings", &path, err) < 0)
        return -1;
    AUTO_FREE char *one = mem_format("%s/%s/cancel", path, id);
    return cli_call(c, "POST", one, NULL, &reply, err);
}

/* Does it still run what lacked the new trunk then? */
static int is_behind(struct cli *c, const char *env, int64_t release, bool *ret_is, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *escaped = cli_escape(env);
    AUTO_FREE char *tail = mem_format("/envs/%s", escaped);
    AUTO_JSON *state = NULL;
    if (cli_app_path(c, tail, &path, err) < 0 || cli_get(c, path, &state, err) < 0)
        return -1;
    *ret_is = json_int(json_dict(state, "release"), "number", 0) == release;
    return 0;
}

static int release_in(struct cli *c, const char *env, json_t *row, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *escaped = cli_escape(env);
    AUTO_FREE char *tail = mem_format("/envs/%s/rollouts", escaped);
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    struct err refused = ERR_INIT;
    json_put_text(body, "kind", "deploy");
    if (cli_app_path(c, tail, &path, err) < 0)
        return -1;
    if (cli_call(c, "POST", path, body, &reply, &refused) < 0) { /* of one: the others go on */
        json_put_text(row, "error", refused.text);
        cli_progress(c, "  %s is not released: %s\n", env, refused.text);
        *err = refused;
        return 1;
    }
    json_put_int(row, "rollout", json_int(json_dict(reply, "rollout"), "id", 0));
    cli_progress(c, "  %s is released anew: 'slipway status -e %s'\n", env, env);
    return 0;
}

/* Those that the newest landing named, and that nobody has released since. */
static int rebuild(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    AUTO_JSON *told = json_object();
    json_t *rows = json_array(), *behind;
    bool refused = false;
    size_t i;
    json_put(told, "envs", rows);
    if (cli_at_most(c, 1, err) < 0 || cli_app_path(c, "/landings?limit=1", &path, err) < 0 ||
        cli_get(c, path, &reply, err) < 0)
        return -1;
    const json_t *landing = json_array_get(json_list(reply, "items"), 0);
    json_array_foreach(json_list(json_dict(landing, "result"), "behind"), i, behind)
    {
        const char *env = json_text_or(behind, "env", "?");
        bool is = false;
        if (is_behind(c, env, json_int(behind, "release", 0), &is, err) < 0)
            return -1;
        if (!is)
            continue;
        json_t *row = json_object();
        json_put_text(row, "env", env);
        json_push(rows, row);
        int r = release_in(c, env, row, err);
        if (r < 0)
            return -1;
        refused |= r > 0;
    }
    if (json_array_size(rows) == 0)
        cli_progress(c, "every env has the new trunk, or was released since\n");
    if (c->json)
        cli_print_json(told);
    return refused ? -1 : 0;
}

int verb_land(struct cli *c, struct err *err)
{
    const char *what = cli_word(c, 0);
    int64_t release = 0;
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (text_is(what, "ls"))
        return list(c, err);
    if (text_is(what, "plan"))
        return plan(c, err);
    if (text_is(what, "rebuild"))
        return rebuild(c, err);
    if (text_is(what, "cancel"))
        return cancel(c, err);
    if (cli_at_most(c, 1, err) < 0)
        return -1;
    struct str number = str_of(what ? what : "");
    if (number.length > 0 && number.data[0] == 'r')
        number = (struct str){number.data + 1, number.length - 1};
    if (what && str_to_int(number, 1, 1000000000, "release", &release, err) < 0)
        return cli_usage(c->usage, err);
    if (what)
        json_put_int(body, "release", release);
    if (cli_app_path(c, "/landings", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(json_dict(reply, "landing"));
    else
        print_landed(json_dict(reply, "landing"));
    return 0;
}
