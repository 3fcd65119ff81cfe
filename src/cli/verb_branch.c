/* slipway branch, tick, untick: branches, and what is ticked in an env in which order. */
#include "cli/verbs.h"

/* ---- branches ---- */

static int list_branches(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"BRANCH", "name", CLI_TEXT}, {"TIP", "tip", CLI_SHORT},    {"AUTHOR", "author", CLI_TEXT},
        {"AGE", "at", CLI_AGE},       {"AHEAD", "ahead", CLI_TEXT}, {"BEHIND", "behind", CLI_TEXT},
        {"ENVS", "envs", CLI_LIST}};
    AUTO_FREE char *match = cli_escape(c->match ? c->match : "");
    AUTO_FREE char *tail = mem_format("/branches?match=%s", match);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, tail, &path, err) < 0 || cli_list(c, path, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "items", columns, ARRAY_SIZE(columns));
    return 0;
}

int cli_branch_create(struct cli *c, const char *name, const char *from, json_t **ret_reply,
                      struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    json_put_text(body, "name", name);
    if (from)
        json_put_text(body, "from", from);
    return cli_app_path(c, "/branches", &path, err) < 0
               ? -1
               : cli_call(c, "POST", path, body, ret_reply, err);
}

static int new_branch(struct cli *c, const char *name, struct err *err)
{
    AUTO_JSON *reply = NULL;
    if (cli_branch_create(c, name, c->from, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    AUTO_FREE char *word = cli_shell_word(name);
    cli_print("created %s\nwork on it:  git fetch && git checkout %s\n", name, word);
    return 0;
}

static int remove_branch(struct cli *c, const char *name, struct err *err)
{
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *tail = mem_format("/branches?name=%s", escaped);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    return cli_app_path(c, tail, &path, err) < 0 ? -1
                                                 : cli_call(c, "DELETE", path, NULL, &reply, err);
}

static void print_branch(const json_t *row)
{
    char age[24];
    cli_format_age(json_int(row, "at", 0), age);
    cli_print("%s  %.9s\n  ", json_text_or(row, "name", "?"), json_text_or(row, "tip", "?"));
    cli_print_safe(json_text(row, "subject"));
    cli_print("\n  ");
    cli_print_safe(json_text(row, "author"));
    cli_print(", %s ago; %lld ahead of trunk, %lld behind\n", age,
              (long long)json_int(row, "ahead", 0), (long long)json_int(row, "behind", 0));
    if (json_array_size(json_list(row, "envs"))) {
        cli_print("  ticked in ");
        cli_print_names(json_list(row, "envs"));
        cli_print("\n");
    }
    if (json_array_size(json_list(row, "out"))) {
        cli_print("  conflicts and is left out in ");
        cli_print_names(json_list(row, "out"));
        cli_print(": 'slipway branch conflicts' says with whom\n");
    }
}

int cli_branch_find(struct cli *c, const char *name, json_t **ret_row, struct err *err)
{
    AUTO_FREE char *escaped = cli_escape(name);
    AUTO_FREE char *tail = mem_format("/branches?match=%s", escaped);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    size_t i;
    json_t *row;
    if (cli_app_path(c, tail, &path, err) < 0 || cli_list(c, path, &reply, err) < 0)
        return -1;
    json_array_foreach(json_list(reply, "items"), i, row)
    {
        if (!text_is(json_text(row, "name"), name))
            continue;
        *ret_row = json_incref(row);
        return 0;
    }
    return FAIL(err, E_BRANCH_UNKNOWN,
                "there is no branch '%.100s': 'slipway branch ls' lists them", name);
}

static int show_branch(struct cli *c, const char *name, struct err *err)
{
    AUTO_JSON *row = NULL;
    if (cli_branch_find(c, name, &row, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(row);
    else
        print_branch(row);
    return 0;
}

/* ---- ticks ---- */

/* Takes names. */
static int change_ticks(struct cli *c, const char *key, json_t *names, struct err *err)
{
    static const struct cli_column columns[] = {{"TICKED", "branch", CLI_TEXT},
                                                {"DEPLOYED", "deployed_tip", CLI_SHORT},
                                                {"BY", "by", CLI_TEXT},
                                                {"SINCE", "at", CLI_AGE}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    bool none = json_array_size(names) == 0;
    json_put(body, key, names);
    if (none)
        return FAIL(err, E_USAGE, "which branches?");
    if (cli_app_env_path(c, "/ticks", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    cli_show(c, reply, "ticks", columns, ARRAY_SIZE(columns));
    return 0;
}

static bool is_among(const json_t *names, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)names, i, one)
    {
        if (text_is(json_string_value(one), name))
            return true;
    }
    return false;
}

/* Those that are named first, in this order; the others stay behind them as they are. */
static int order_ticks(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    AUTO_JSON *ticked = json_array();
    AUTO_JSON *order = cli_words_from(c, 1);
    size_t i;
    json_t *row;
    if (cli_app_env_path(c, "/ticks", &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    json_array_foreach(json_list(reply, "ticks"), i, row)
        json_push(ticked, json_incref(json_object_get(row, "branch")));
    json_array_foreach(order, i, row)
    {
        if (!is_among(ticked, json_string_value(row)))
            return FAIL(err, E_BRANCH_UNKNOWN, "'%.100s' is not ticked in %s",
                        json_string_value(row), c->env);
    }
    json_array_foreach(ticked, i, row)
    {
        if (!is_among(order, json_string_value(row)))
            json_push(order, json_incref(row));
    }
    return change_ticks(c, "set", json_incref(order), err);
}

int verb_tick(struct cli *c, struct err *err)
{
    return change_ticks(c, "add", cli_words_from(c, 0), err);
}

int verb_untick(struct cli *c, struct err *err)
{
    return change_ticks(c, "remove", cli_words_from(c, 0), err);
}

/* ---- the verb ---- */

static int act_ls(struct cli *c, struct err *err)
{
    return list_branches(c, err);
}
static int act_new(struct cli *c, struct err *err)
{
    return new_branch(c, cli_word(c, 1), err);
}
static int act_rm(struct cli *c, struct err *err)
{
    return remove_branch(c, cli_word(c, 1), err);
}
static int act_show(struct cli *c, struct err *err)
{
    return show_branch(c, cli_word(c, 1), err);
}
static int act_conflicts(struct cli *c, struct err *err)
{
    return cli_conflicts(c, cli_words_from(c, 1), err);
}
static int act_tick(struct cli *c, struct err *err)
{
    return change_ticks(c, "add", cli_words_from(c, 1), err);
}
static int act_untick(struct cli *c, struct err *err)
{
    return change_ticks(c, "remove", cli_words_from(c, 1), err);
}

int verb_branch(struct cli *c, struct err *err)
{
    static const struct {
        const char *name;
        cli_verb_fn *act;
        size_t least, most; /* words after it */
    } acts[] = {
        {"ls", act_ls, 0, 0},
        {"new", act_new, 1, 1},
        {"rm", act_rm, 1, 1},
        {"show", act_show, 1, 1},
        {"conflicts", act_conflicts, 0, CLI_WORDS_MAX},
        {"tick", act_tick, 1, CLI_WORDS_MAX},
        {"untick", act_untick, 1, CLI_WORDS_MAX},
        {"order", order_ticks, 1, CLI_WORDS_MAX},
        {"resolve", cli_resolve, 1, CLI_WORDS_MAX},
        {"resolutions", cli_resolutions, 0, 0},
        {"fold", cli_fold, 1, 2},
        {"drop", cli_drop, 1, 1},
    };
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "ls";
    size_t words = c->word_count ? c->word_count - 1 : 0;
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
        if (!text_is(what, acts[i].name) || words < acts[i].least)
            continue;
        return cli_at_most(c, acts[i].most + 1, err) < 0 ? -1 : acts[i].act(c, err);
    }
    return cli_usage(c->usage, err);
}
