/* slipway branch conflicts: who of the ticked branches merges, who does not and why. */
#include "cli/verbs.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

static void print_place(const json_t *conflict)
{
    const json_t *files = json_list(conflict, "files");
    size_t i;
    json_t *file;
    json_array_foreach((json_t *)(uintptr_t)files, i, file)
    {
        const char *lines = json_text_or(file, "lines", "");
        cli_print("        ");
        cli_print_safe(json_text(file, "path"));
        cli_print("%s%s\n", *lines ? " " : "", lines);
    }
    int64_t more = json_int(conflict, "file_count", 0) - (int64_t)json_array_size(files);
    if (more > 0)
        cli_print("        and %lld more files\n", (long long)more);
}

/* Where it began, one line a side: both have to talk. */
static void print_first(const json_t *conflict)
{
    size_t i;
    json_t *commit;
    json_array_foreach((json_t *)(uintptr_t)json_list(conflict, "first"), i, commit)
    {
        cli_print("        %s%.9s  ", i ? "and   " : "since ", json_text_or(commit, "id", "?"));
        cli_print_safe(json_text(commit, "author"));
        cli_print(": ");
        cli_print_safe(json_text(commit, "subject"));
        cli_print("\n");
    }
}

/* The pair of these two, in either order; NULL: they merge. */
static const json_t *pair_of(const json_t *facts, const char *a, const char *b)
{
    size_t i;
    json_t *pair;
    json_array_foreach((json_t *)(uintptr_t)json_list(facts, "pairs"), i, pair)
    {
        const char *x = json_text(pair, "a"), *y = json_text(pair, "b");
        if ((text_is(x, a) && text_is(y, b)) || (text_is(x, b) && text_is(y, a)))
            return pair;
    }
    return NULL;
}

static const json_t *row_of(const json_t *rows, const char *branch)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        if (text_is(json_text(row, "branch"), branch))
            return row;
    }
    return NULL;
}

static void print_out(const json_t *facts, const json_t *out)
{
    const char *branch = json_text(out, "branch"), *why = json_text_or(out, "why", "");
    const json_t *against = json_list(out, "against");
    const json_t *conflict =
        text_is(why, "trunk") ? row_of(json_list(facts, "on_trunk"), branch) : NULL;
    size_t i;
    json_t *name;
    cli_print("  out   ");
    cli_print_safe(branch);
    cli_print(text_is(why, "together") ? "  only with all of these: " : "  with ");
    cli_print_names(against);
    cli_print("\n");
    if (conflict) {
        print_place(conflict);
        print_first(conflict);
    }
    json_array_foreach((json_t *)(uintptr_t)against, i, name)
    {
        conflict = text_is(why, "pair") ? pair_of(facts, branch, json_string_value(name)) : NULL;
        if (!conflict)
            continue;
        print_place(conflict);
        print_first(conflict);
    }
}

static void print_frees(const json_t *frees)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)frees, i, row)
    {
        const json_t *freed = json_list(row, "frees"), *costs = json_list(row, "costs");
        if (json_array_size(freed) == 0)
            continue;
        cli_print("  without ");
        cli_print_safe(json_text(row, "branch"));
        cli_print(" comes in ");
        cli_print_names(freed);
        if (json_array_size(costs)) {
            cli_print(", and goes out ");
            cli_print_names(costs);
        }
        cli_print("\n");
    }
}

/* Has it been said of one of the two that it is out because of the other? */
static bool is_told(const json_t *facts, const json_t *pair)
{
    static const char *const sides[] = {"a", "b"};
    for (size_t n = 0; n < ARRAY_SIZE(sides); n++) {
        const json_t *out = row_of(json_list(facts, "out"), json_text(pair, sides[n]));
        size_t i;
        json_t *name;
        json_array_foreach(json_list(out, "against"), i, name)
        {
            if (text_is(json_string_value(name), json_text(pair, sides[1 - n])))
                return true;
        }
    }
    return false;
}

/* Of one of which it is not the turn: they will be in each other's way later. */
static void print_pairs(const json_t *facts)
{
    size_t i;
    json_t *pair;
    json_array_foreach((json_t *)(uintptr_t)json_list(facts, "pairs"), i, pair)
    {
        if (is_told(facts, pair) || json_text(pair, "resolved"))
            continue;
        cli_print("  pair  ");
        cli_print_safe(json_text(pair, "a"));
        cli_print(" x ");
        cli_print_safe(json_text(pair, "b"));
        cli_print("\n");
        print_place(pair);
    }
}

/* Those that are in, and those of which somebody has still to do something. */
static void print_resolutions(const json_t *resolutions)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)resolutions, i, row)
    {
        const char *state = json_text_or(row, "state", "");
        if (text_is(state, "ready"))
            continue; /* of branches that are not all here */
        cli_print(text_is(state, "used") ? "  by    " : "  open  ");
        cli_print_safe(json_text(row, "branch"));
        cli_print("  resolves ");
        cli_print_names(json_list(row, "sides"));
        if (json_text(row, "text")) {
            cli_print(": ");
            cli_print_safe(json_text(row, "text"));
        }
        cli_print("\n");
    }
}

static void print_facts(const struct cli *c, const json_t *facts)
{
    const json_t *trunk = json_dict(facts, "trunk"), *last = json_object_get(facts, "last");
    size_t in =
        json_array_size(json_list(facts, "in")) + json_array_size(json_list(facts, "contained"));
    size_t i;
    json_t *row;
    cli_print("%s: %zu of %zu branches merge onto ", c->env, in,
              json_array_size(json_list(facts, "ticks")));
    cli_print_safe(json_text(trunk, "branch"));
    cli_print(" (%.9s)\n", json_text_or(trunk, "commit", "?"));
    json_array_foreach(json_list(facts, "out"), i, row) print_out(facts, row);
    json_array_foreach(json_list(facts, "gone"), i, row)
    {
        cli_print("  gone  ");
        cli_print_safe(json_string_value(row));
        cli_print("  is ticked, and there is no such branch any more\n");
    }
    print_frees(json_list(facts, "frees"));
    print_resolutions(json_list(facts, "resolutions"));
    print_pairs(facts);
    json_array_foreach(json_list(facts, "on_live"), i, row)
    {
        cli_print("  later ");
        cli_print_safe(json_text(row, "branch"));
        cli_print("  conflicts with what %s runs\n", json_text_or(last, "env", "the last env"));
        print_place(row);
    }
}

char *cli_left_out_text(const json_t *row)
{
    AUTO_BUF text = BUF_INIT(4096);
    bool together = text_is(json_text(row, "why"), "together");
    const char *file = json_string_value(json_array_get(json_list(row, "files"), 0));
    size_t i;
    json_t *name;
    (void)buf_add_format(&text, "left out: %s conflicts with ", json_text_or(row, "branch", "?"));
    json_array_foreach(json_list(row, "against"), i, name)(void)
        buf_add_format(&text, "%s%s", i ? ", " : "", json_string_value(name));
    if (together)
        (void)buf_add_text(&text, " together");
    if (file)
        (void)buf_add_format(&text, " in %s", file);
    return mem_strdup(text.data ? text.data : "");
}

int cli_conflicts(struct cli *c, json_t *branches, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    bool others = json_array_size(branches) > 0;
    json_put(body, "branches", branches);
    if (cli_app_env_path(c, "/conflicts", &path, err) < 0 ||
        cli_call(c, others ? "POST" : "GET", path, others ? body : NULL, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        print_facts(c, reply);
    return 0;
}
