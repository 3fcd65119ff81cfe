/* merge.facts over the real courier and the real git: a set of twenty in which conflicts of two, of
 * three and with trunk are planted. Every culprit is named, and nobody else is. */
#include "courier/courier_fixture.h"
#include "courier/git/conflict.h"

#define COUNT 20

/* --- hunks ---------------------------------------------------------------------------------- */

static const char marked[] = "one\n"
                             "<<<<<<< a\n"
                             "two\nthree\n"
                             "=======\n"
                             "2\n"
                             ">>>>>>> b\n"
                             "four\n"
                             "======= no marker here\n"
                             "<<<<<<< a\n"
                             "=======\r\n"
                             "5\n"
                             ">>>>>>> b\n";

TEST(hunks_are_counted_in_pieces_of_any_size)
{
    for (size_t step = 1; step < sizeof(marked); step++) {
        struct hunks h;
        hunks_init(&h);
        for (size_t at = 0; at < sizeof(marked) - 1; at += step) {
            size_t left = sizeof(marked) - 1 - at;
            hunks_feed(&h, (struct str){marked + at, left < step ? left : step});
        }
        IS_INT(h.count, 2);
        IS_STR(h.lines.data, "2-3, 6");
        hunks_done(&h);
    }
}

/* --- the set -------------------------------------------------------------------------------- */

static char *numbered(const char *what, int i)
{
    return mem_format("%s%02d", what, i);
}

static void put_lines(const char *file, int changed, const char *text)
{
    AUTO_BUF all = BUF_INIT(0);
    for (int line = 1; line <= 40; line++) {
        if (line == changed)
            (void)buf_add_format(&all, "%s\n", text);
        else
            (void)buf_add_format(&all, "line %d\n", line);
    }
    put_file("set", file, all.data);
}

static void commit_as(const char *author, const char *message)
{
    AUTO_FREE char *who = mem_format("%s <%s@localhost>", author, author);
    free(GIT_TEXT("set", "add", "-A"));
    free(GIT_TEXT("set", "commit", "-q", "--author", who, "-m", message));
}

/* bNN has a file of its own; what it shares with others is added by the tests' plan below. */
static void make_set(void)
{
    make_app("set");
    AUTO_FREE char *folder = mem_format("%s/set/shapes", home);
    struct err err = ERR_INIT;
    OK(file_make_dirs(folder, 0755, &err) == 0);
    for (int i = 0; i < 4; i++) {
        AUTO_FREE char *file = numbered("shared-", i);
        put_lines(file, 0, "");
    }
    put_file("set", "shapes/1", "a file\nwith some\nlines in it\n");
    put_file("set", "shapes/2", "another file\nwith other\nlines of text\n");
    commit_as("root", "start");
    for (int i = 0; i < COUNT; i++) {
        AUTO_FREE char *name = numbered("b", i), *file = numbered("own-", i);
        free(GIT_TEXT("set", "checkout", "-q", "-B", name, "main"));
        put_file("set", file, "mine\n");
        commit_as(name, "mine");
    }
}

static void change(int branch, const char *author, const char *file, int line, const char *text)
{
    AUTO_FREE char *name = numbered("b", branch);
    free(GIT_TEXT("set", "checkout", "-q", name));
    put_lines(file, line, text);
    commit_as(author, text);
    AUTO_FREE char *more = numbered("own-", branch);
    put_file("set", more, "more\n");
    free(GIT_TEXT("set", "add", more));
    free(GIT_TEXT("set", "commit", "-q", "-m", "more of mine"));
}

static void move(int branch, const char *from, const char *to)
{
    AUTO_FREE char *name = numbered("b", branch);
    AUTO_FREE char *folder = mem_format("%s/set/forms", home);
    struct err err = ERR_INIT;
    free(GIT_TEXT("set", "checkout", "-q", "-f", name));
    OK(file_make_dirs(folder, 0755, &err) == 0);
    free(GIT_TEXT("set", "mv", from, to));
    commit_as(name, "rename");
}

static json_t *facts(const char *live)
{
    AUTO_FREE char *base = tip("set", "main");
    json_t *ticks = json_array();
    for (int i = 0; i < COUNT; i++) {
        AUTO_FREE char *name = numbered("b", i), *at = tip("set", name);
        json_push(ticks, json_pack("{s:s, s:s}", "branch", name, "tip", at));
    }
    json_t *args = json_pack("{s:s, s:s, s:s, s:o}", "app", "set", "trunk", "main", "base", base,
                             "ticks", ticks);
    json_put_text(args, "live", live ? live : base);
    return ask("merge.facts", args);
}

static void is_list(const json_t *list, const char *want)
{
    AUTO_FREE char *text = json_print(list);
    IS_STR(text, want);
}

/* "b02 pair b01; ..." */
static char *out_of(const json_t *reply)
{
    struct buf text = BUF_INIT(0);
    size_t i, j;
    json_t *row, *name;
    json_array_foreach(json_list(reply, "out"), i, row)
    {
        (void)buf_add_format(&text, "%s%s %s", i ? "; " : "", json_text(row, "branch"),
                             json_text(row, "why"));
        json_array_foreach(json_list(row, "against"), j, name)(void)
            buf_add_format(&text, " %s", json_string_value(name));
    }
    return text.data ? text.data : mem_strdup("");
}

static char *pairs_of(const json_t *reply, const char *what)
{
    struct buf text = BUF_INIT(0);
    size_t i;
    json_t *row;
    json_array_foreach(json_list(reply, what), i, row)
    {
        const json_t *file = json_array_get(json_list(row, "files"), 0);
        (void)buf_add_format(&text, "%s%s-%s %s:%s", i ? "; " : "", json_text_or(row, "a", what),
                             json_text_or(row, "b", json_text_or(row, "branch", "?")),
                             json_text(file, "path"), json_text(file, "lines"));
    }
    return text.data ? text.data : mem_strdup("");
}

static char *frees_of(const json_t *reply)
{
    struct buf text = BUF_INIT(0);
    size_t i, j;
    json_t *row, *name;
    json_array_foreach(json_list(reply, "frees"), i, row)
    {
        (void)buf_add_format(&text, "%s%s:", i ? "; " : "", json_text(row, "branch"));
        json_array_foreach(json_list(row, "frees"), j, name)(void)
            buf_add_format(&text, " +%s", json_string_value(name));
        json_array_foreach(json_list(row, "costs"), j, name)(void)
            buf_add_format(&text, " -%s", json_string_value(name));
    }
    return text.data ? text.data : mem_strdup("");
}

TEST(a_set_that_merges_has_nothing_to_tell)
{
    make_set();
    free(GIT_TEXT("set", "push", "-q", "ops", "--all"));
    AUTO_JSON *reply = facts(NULL);
    is_list(json_list(reply, "out"), "[]");
    is_list(json_list(reply, "pairs"), "[]");
    is_list(json_list(reply, "trunk"), "[]");
    is_list(json_list(reply, "frees"), "[]");
    IS_INT(json_array_size(json_list(reply, "in")), COUNT);
    IS_INT(json_int(reply, "merges", 0), 190 + 20 + 20); /* pairs, trunk, the chain */
    AUTO_JSON *again = facts(NULL);
    IS_INT(json_int(again, "merges", -1), 20); /* the pairs are known */
    printf("# 20 branches: %lld ms, again %lld ms\n", (long long)json_int(reply, "ms", -1),
           (long long)json_int(again, "ms", -1));
}

/* b02 x b05 on one line, b05 x b09 on another; b07 with trunk; b11 and b12 each move one of a
 * folder's two files, so that only together they rename it, and b13 puts a file into it. */
TEST(every_culprit_is_named_and_nobody_else)
{
    AUTO_FREE char *folder = mem_format("%s/set/shapes", home);
    struct err err = ERR_INIT;
    change(2, "li.w", "shared-00", 10, "two");
    change(5, "wang.f", "shared-00", 10, "five");
    free(GIT_TEXT("set", "checkout", "-q", "b05"));
    put_lines("shared-01", 20, "five");
    commit_as("wang.f", "another");
    change(9, "zhao.q", "shared-01", 20, "nine");
    change(7, "sun.h", "shared-02", 30, "seven");
    move(11, "shapes/1", "forms/1");
    move(12, "shapes/2", "forms/2");
    free(GIT_TEXT("set", "checkout", "-q", "-f", "b13"));
    OK(file_make_dirs(folder, 0755, &err) == 0);
    put_file("set", "shapes/3", "a third\n");
    commit_as("b13", "a third");
    AUTO_FREE char *live = tip("set", "main");
    free(GIT_TEXT("set", "checkout", "-q", "main"));
    put_lines("shared-02", 30, "trunk");
    commit_as("qian.x", "trunk moves");
    free(GIT_TEXT("set", "push", "-q", "ops", "--all", "--force"));
    AUTO_JSON *reply = facts(live);
    AUTO_FREE char *out = out_of(reply), *pairs = pairs_of(reply, "pairs"),
                   *trunk = pairs_of(reply, "trunk"), *on_live = pairs_of(reply, "live"),
                   *frees = frees_of(reply);
    /* b05 is out, so b09 comes in: the chain decides, the pairs explain */
    IS_STR(out, "b05 pair b02; b07 trunk main; b13 together b12 b11");
    IS_STR(pairs, "b02-b05 shared-00:10; b05-b09 shared-01:20");
    IS_STR(trunk, "trunk-b07 shared-02:30");
    IS_STR(on_live, "");
    /* without b02 comes b05, and then b09 cannot stay */
    IS_STR(frees, "b02: +b05 -b09; b11: +b13; b12: +b13");
    printf("# %lld merges in %lld ms\n", (long long)json_int(reply, "merges", -1),
           (long long)json_int(reply, "ms", -1));
}

TEST(a_conflict_is_told_with_the_first_commit_of_each_side)
{
    AUTO_JSON *reply = facts(NULL);
    const json_t *first = json_list(json_array_get(json_list(reply, "pairs"), 0), "first");
    IS_INT(json_array_size(first), 2);
    IS_STR(json_text(json_array_get(first, 0), "author"), "li.w");
    IS_STR(json_text(json_array_get(first, 0), "subject"), "two");
    IS_STR(json_text(json_array_get(first, 1), "author"), "wang.f");
    const json_t *trunk = json_list(json_array_get(json_list(reply, "trunk"), 0), "first");
    IS_STR(json_text(json_array_get(trunk, 0), "author"), "qian.x");
    IS_STR(json_text(json_array_get(trunk, 1), "author"), "sun.h");
}

/* Only the row of the branch that moved is asked anew. */
TEST(after_a_push_nineteen_pairs_are_asked)
{
    AUTO_JSON *before = facts(NULL);
    free(GIT_TEXT("set", "checkout", "-q", "-f", "b19"));
    commit_file("set", "own-19", "moved\n");
    free(GIT_TEXT("set", "push", "-q", "ops", "b19", "--force"));
    AUTO_JSON *reply = facts(NULL);
    IS_INT(json_int(reply, "merges", 0) - json_int(before, "merges", 0), 19 + 1); /* and trunk */
    AUTO_FREE char *pairs = pairs_of(reply, "pairs");
    IS_STR(pairs, "b02-b05 shared-00:10; b05-b09 shared-01:20");
}

TEST(bad_input_is_refused)
{
    AUTO_FREE char *base = tip("set", "main");
    IS_INT(ask_kind("merge.facts", json_pack("{s:s, s:s, s:s, s:[]}", "app", "set", "trunk", "..",
                                             "base", base, "ticks")),
           E_REF_INVALID);
    IS_INT(
        ask_kind("merge.facts", json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "app", "set", "trunk",
                                          "main", "base", base, "ticks", "branch", "b00", "tip",
                                          "1234567890123456789012345678901234567890")),
        E_BRANCH_UNKNOWN);
    IS_INT(ask_kind("merge.facts", json_pack("{s:s, s:s, s:s, s:[]}", "app", "none", "trunk",
                                             "main", "base", base, "ticks")),
           E_NOT_FOUND);
    end_in_order();
}
