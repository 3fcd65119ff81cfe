/* slipway branch resolve|resolutions|fold|drop: conflicts that people merge once, on a branch. */
#include "cli/verbs.h"

/* ---- opening ---- */

/* "A B", or "A+B" in one word. */
static json_t *sides_of(const struct cli *c)
{
    json_t *sides = json_array();
    struct str rest = str_of(cli_word(c, 1) ? cli_word(c, 1) : "");
    if (c->word_count == 2) {
        while (rest.length > 0)
            json_push(sides, json_str_value(str_cut(&rest, '+')));
        return sides;
    }
    for (size_t i = 1; i < c->word_count; i++)
        json_push(sides, json_string(c->words[i]));
    return sides;
}

static void print_opened(const json_t *row)
{
    const char *branch = json_text_or(row, "branch", "?");
    const json_t *files = json_list(row, "files");
    AUTO_FREE char *word = cli_shell_word(branch);
    AUTO_JSON *sides = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(json_list(row, "sides"), i, item)
        json_push(sides, json_incref(json_object_get(item, "branch")));
    cli_print("%s is open; these files have the conflict in them:\n", branch);
    json_array_foreach((json_t *)(uintptr_t)files, i, item)
    {
        cli_print("    ");
        cli_print_safe(json_string_value(item));
        cli_print("\n");
    }
    cli_print("resolve it:  git fetch && git switch %s\n", word);
    cli_print("             take the markers out, then git commit -a && git push\n");
    cli_print("It is used wherever all of these are ticked: ");
    cli_print_names(sides);
    cli_print("\n");
}

int cli_resolve(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    json_put(body, "branches", sides_of(c));
    if (cli_app_path(c, "/resolutions", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        print_opened(json_dict(reply, "resolution"));
    return 0;
}

/* ---- the list ---- */

/* One cell for both: what can be done with an open one, or how it ended. */
static void put_cells(const json_t *rows)
{
    size_t i, k;
    json_t *row, *side;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        json_t *names = json_array();
        json_array_foreach(json_list(row, "sides"), k, side)
            json_push(names, json_incref(json_object_get(side, "branch")));
        json_put(row, "of", names);
        json_put_text(row, "is", json_text_or(row, "now", json_text_or(row, "state", "?")));
    }
}

int cli_resolutions(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"RESOLUTION", "branch", CLI_TEXT}, {"OF", "of", CLI_LIST}, {"IS", "is", CLI_TEXT},
        {"WHY", "text", CLI_TEXT},          {"BY", "by", CLI_TEXT}, {"SINCE", "at", CLI_AGE}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, "/resolutions", &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (!c->json)
        put_cells(json_list(reply, "resolutions"));
    cli_show(c, reply, "resolutions", columns, ARRAY_SIZE(columns));
    return 0;
}

/* ---- folding and dropping ---- */

/* By the name of its branch; an open one before those that are closed. */
static int find(struct cli *c, const char *tail, char **ret_path, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    size_t i;
    json_t *row;
    if (cli_app_path(c, "/resolutions", &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    json_array_foreach(json_list(reply, "resolutions"), i, row)
    {
        if (!text_is(json_text(row, "branch"), cli_word(c, 1)))
            continue;
        *ret_path = mem_format("%s/%lld%s", path, (long long)json_int(row, "id", 0), tail);
        return 0;
    }
    return FAIL(err, E_NOT_FOUND,
                "'%.100s' is no resolution: 'slipway branch resolutions' lists them",
                cli_word(c, 1));
}

int cli_fold(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (cli_word(c, 2))
        json_put_text(body, "into", cli_word(c, 2));
    if (find(c, "/fold", &path, err) < 0 || cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    cli_print_safe(json_text(json_dict(reply, "resolution"), "text"));
    cli_print(" holds what was resolved now; ");
    cli_print_safe(cli_word(c, 1));
    cli_print(" is closed\n");
    return 0;
}

int cli_drop(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (find(c, "", &path, err) < 0 || cli_call(c, "DELETE", path, NULL, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    cli_print_safe(cli_word(c, 1));
    cli_print(" is used no more\n");
    return 0;
}
