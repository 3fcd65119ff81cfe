/* Resolutions over the real courier and the real git: two people's branches change the same line of
 * a file, somebody merges them once, and every set that holds both has it. Names are Chinese, the
 * file is GBK, its path is long. */
#include "courier/courier_fixture.h"

#define A "功能/优惠券"
#define B "会员价"
#define R "resolve/功能/优惠券+会员价"
#define FILE_NAME "目录/价格.txt"

static char *opened;    /* the commit that it began with */
static json_t *sides;   /* as it was opened */
static char *long_file; /* 200 characters */

/* --- words of the tests --------------------------------------------------------------------- */

static void put_price(const char *text)
{
    AUTO_BUF all = BUF_INIT(0);
    for (int line = 0; line < 20; line++) {
        if (line == 10)
            (void)buf_add_format(&all, "%s\n", text);
        else
            (void)buf_add_format(&all, "\xc4\xfa\xba\xc3 %d\n", line); /* GBK */
    }
    put_file("res", FILE_NAME, all.data);
    put_file("res", long_file, all.data);
}

static void commit_price(const char *branch, const char *text)
{
    free(GIT_TEXT("res", "checkout", "-q", branch));
    put_price(text);
    free(GIT_TEXT("res", "add", "-A"));
    free(GIT_TEXT("res", "commit", "-q", "-m", text));
}

static void push(void)
{
    free(GIT_TEXT("res", "push", "-q", "--force", "ops", "--all"));
}

static json_t *names(const char *first, const char *second)
{
    return json_pack("[s, s]", first, second);
}

static json_t *open_args(const char *name, json_t *branches)
{
    return json_pack("{s:s, s:s, s:o}", "app", "res", "name", name, "sides", branches);
}

/* As core would make it: what was opened, and the tips of now (in the work tree). */
static json_t *resolution(void)
{
    AUTO_FREE char *now = tip("res", R);
    json_t *row = json_pack("{s:s, s:s, s:s, s:[s, s], s:O}", "branch", R, "tip", now, "opened",
                            opened, "files", FILE_NAME, long_file, "sides", sides);
    json_t *copy = json_deep_copy(row), *side;
    size_t i;
    json_decref(row);
    json_array_foreach(json_list(copy, "sides"), i, side)
    {
        AUTO_FREE char *at = tip("res", json_text(side, "branch"));
        json_put_text(side, "now", at);
    }
    return copy;
}

/* The verb's arguments with these branches ticked; the resolution comes along. */
static json_t *set_args(const char *const *branches)
{
    AUTO_FREE char *base = tip("res", "main");
    json_t *ticks = json_array();
    for (size_t i = 0; branches[i]; i++) {
        AUTO_FREE char *at = tip("res", branches[i]);
        json_push(ticks, json_pack("{s:s, s:s}", "branch", branches[i], "tip", at));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:[o]}", "app", "res", "trunk", "main", "base", base,
                     "ticks", ticks, "resolutions", resolution());
}
#define SET(...) set_args((const char *const[]){__VA_ARGS__, NULL})

static const json_t *told(const json_t *reply)
{
    return json_array_get(json_list(reply, "resolutions"), 0);
}

#define IS_STATE(reply_, state_, side_)                                                            \
    do {                                                                                           \
        IS_STR(json_text_or(told(reply_), "state", "?"), state_);                                  \
        IS_STR(json_text_or(told(reply_), "side", "none"), side_);                                 \
    } while (0)

static json_t *states(void)
{
    AUTO_FREE char *base = tip("res", "main");
    return ask("resolve.states", json_pack("{s:s, s:s, s:[o]}", "app", "res", "base", base,
                                           "resolutions", resolution()));
}

static char *line_ten(const char *commit, const char *file)
{
    AUTO_FREE char *what = mem_format("%s:%s", commit, file);
    AUTO_FREE char *text = GIT_TEXT("res", "cat-file", "blob", what);
    char *line = text;
    for (int i = 0; i < 10 && line; i++)
        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    return line ? mem_format("%.*s", (int)strcspn(line, "\n"), line) : mem_strdup("");
}

/* --- opening -------------------------------------------------------------------------------- */

TEST(it_is_opened_with_the_conflict_in_it)
{
    struct err err = ERR_INIT;
    make_app("res"); /* makes `home` */
    AUTO_FREE char *deep = mem_format("%s/res/目录", home);
    OK(file_make_dirs(deep, 0755, &err) == 0);
    long_file = mem_strdup("目录/很长");
    while (strlen(long_file) < 200) {
        AUTO_FREE char *shorter = TAKE(long_file);
        long_file = mem_format("%s的", shorter);
    }
    commit_price("main", "100");
    free(GIT_TEXT("res", "branch", A));
    free(GIT_TEXT("res", "branch", B));
    free(GIT_TEXT("res", "branch", "other"));
    free(GIT_TEXT("res", "checkout", "-q", "other"));
    commit_file("res", "other", "another\n");
    commit_price(A, "90");
    commit_price(B, "80");
    push();
    AUTO_JSON *reply = ask("resolve.open", open_args(R, names(A, B)));
    opened = mem_strdup(json_text(reply, "tip"));
    sides = json_incref(json_list(reply, "sides"));
    IS_INT(json_int(reply, "file_count", 0), 2);
    free(GIT_TEXT("res", "fetch", "-q", "ops"));
    AUTO_FREE char *parents = GIT_TEXT("res", "log", "-1", "--format=%P", opened);
    AUTO_FREE char *a = tip("res", A), *b = tip("res", B);
    AUTO_FREE char *both = mem_format("%s %s", a, b);
    IS_STR(parents, both);
    AUTO_FREE char *marked = line_ten(opened, FILE_NAME);
    OK(text_starts(marked, "<<<<<<< "));
    AUTO_FREE char *message = GIT_TEXT("res", "log", "-1", "--format=%an: %s", opened);
    IS_STR(message, "Slipway: Resolve '" A "' + '" B "'");
    AUTO_JSON *again = ask("resolve.open", open_args(R, names(A, B)));
    IS_STR(json_text(again, "tip"), opened);
}

TEST(one_that_nobody_has_worked_on_is_made_anew_when_a_side_has_moved)
{
    commit_price(B, "70");
    push();
    AUTO_JSON *reply = ask("resolve.open", open_args(R, names(A, B)));
    OK(!text_is(json_text(reply, "tip"), opened));
    free(opened);
    json_decref(sides);
    opened = mem_strdup(json_text(reply, "tip"));
    sides = json_incref(json_list(reply, "sides"));
    free(GIT_TEXT("res", "fetch", "-q", "ops"));
    free(GIT_TEXT("res", "branch", R, opened));
}

TEST(what_cannot_be_opened_is_refused)
{
    IS_INT(ask_kind("resolve.open", open_args("resolve/x", names(A, "other"))), E_STATE_CONFLICT);
    IS_INT(ask_kind("resolve.open", open_args("resolve/x", names(A, "gone"))), E_BRANCH_UNKNOWN);
    IS_INT(ask_kind("resolve.open", open_args("resolve/x", names(A, A))), E_FIELD_INVALID);
    IS_INT(ask_kind("resolve.open", open_args("resolve/x", json_pack("[s]", A))), E_FIELD_INVALID);
    IS_INT(ask_kind("resolve.open", open_args("..", names(A, B))), E_REF_INVALID);
    IS_INT(ask_kind("resolve.open", open_args("other", names(A, B))), E_EXISTS);
    AUTO_JSON *bad = SET(A);
    json_object_set_new(bad, "resolutions", json_pack("[{s:s}]", "branch", R));
    IS_INT(ask_kind("integrate", json_deep_copy(bad)), E_FIELD_INVALID);
}

/* --- using ---------------------------------------------------------------------------------- */

TEST(until_it_is_resolved_it_is_not_used)
{
    AUTO_JSON *fresh = states();
    IS_STATE(fresh, "waiting", "none");
    free(GIT_TEXT("res", "checkout", "-q", R));
    commit_file("res", "note", "I have begun\n");
    push();
    AUTO_JSON *begun = states();
    IS_STATE(begun, "waiting", "none");
    AUTO_FREE char *text = mem_format("'%s' still has conflict markers", FILE_NAME);
    IS_STR(json_text(told(begun), "text"), text);
    AUTO_JSON *reply = ask("integrate", SET(A, B));
    IS_STR(json_text(json_dict(reply, "conflict"), "branch"), B);
    commit_price(R, "63");
    push();
    AUTO_JSON *done = states();
    IS_STATE(done, "ready", "none");
}

TEST(a_set_with_both_has_what_was_resolved)
{
    AUTO_JSON *reply = ask("integrate", SET("other", A, B));
    IS_STATE(reply, "used", "none");
    IS_INT(json_array_size(json_list(reply, "skipped")), 0);
    IS_INT(json_array_size(json_list(reply, "ticks")), 3);
    const char *commit = json_text(reply, "commit");
    AUTO_JSON *seen = ask("branch.create", json_pack("{s:s, s:s, s:s}", "app", "res", "name",
                                                     "seen", "from", commit));
    OK(seen);
    free(GIT_TEXT("res", "fetch", "-q", "ops", "seen"));
    AUTO_FREE char *price = line_ten(commit, FILE_NAME), *deep = line_ten(commit, long_file);
    IS_STR(price, "63");
    IS_STR(deep, "63");
    AUTO_JSON *again = ask("integrate", SET("other", A, B));
    IS_STR(json_text(again, "commit"), commit);
    /* without one of them it has no business here */
    AUTO_JSON *alone = ask("integrate", SET("other", A));
    IS_STATE(alone, "ready", B);
}

TEST(the_facts_say_that_the_pair_is_resolved)
{
    AUTO_JSON *reply = ask("merge.facts", SET(A, B, "other"));
    const json_t *pair = json_array_get(json_list(reply, "pairs"), 0);
    IS_INT(json_array_size(json_list(reply, "out")), 0);
    IS_INT(json_array_size(json_list(reply, "in")), 3);
    IS_INT(json_array_size(json_list(reply, "contained")), 0);
    IS_STR(json_text(pair, "resolved"), R);
}

/* It is out because of a branch that somebody has ticked, not because of the resolution. */
TEST(who_conflicts_with_it_is_told_the_branch)
{
    free(GIT_TEXT("res", "branch", "third", "main"));
    commit_price("third", "50");
    push();
    AUTO_JSON *args = SET(A, B, "third");
    json_put_text(args, "policy", "skip");
    AUTO_JSON *reply = ask("integrate", json_incref(args));
    const json_t *out = json_array_get(json_list(reply, "out"), 0);
    IS_STR(json_text(out, "branch"), "third");
    IS_STR(json_text(out, "why"), "pair");
    AUTO_FREE char *against = json_print(json_list(out, "against"));
    IS_STR(against, "[\"" A "\",\"" B "\"]");
    IS_STATE(reply, "used", "none");
}

TEST(newer_commits_of_a_side_come_in_beside_it)
{
    free(GIT_TEXT("res", "checkout", "-q", A));
    commit_file("res", "more", "of A\n");
    push();
    AUTO_JSON *reply = ask("integrate", SET(A, B));
    IS_STATE(reply, "used", "none");
    IS_INT(json_int(reply, "merged", 0), 2); /* the resolution, and what A has since */
}

/* What is new on a side conflicts with another branch: the side is in as it was resolved, and that
 * is what the reply says. */
TEST(a_side_whose_newer_commits_conflict_is_in_as_it_was_resolved)
{
    AUTO_FREE char *before = tip("res", A);
    free(GIT_TEXT("res", "checkout", "-q", A));
    commit_file("res", "other", "not the same\n");
    push();
    AUTO_JSON *args = SET("other", A, B);
    json_put_text(args, "policy", "skip");
    AUTO_JSON *reply = ask("integrate", json_incref(args));
    IS_STATE(reply, "used", "none");
    const json_t *out = json_array_get(json_list(reply, "out"), 0);
    IS_STR(json_text(out, "branch"), A);
    AUTO_FREE char *against = json_print(json_list(out, "against"));
    IS_STR(against, "[\"other\"]");
    IS_INT(json_array_size(json_list(reply, "ticks")), 3);
    IS_STR(json_text(json_array_get(json_list(reply, "ticks"), 1), "tip"),
           json_text(json_array_get(sides, 0), "tip"));
    free(GIT_TEXT("res", "reset", "-q", "--hard", before));
    push();
}

/* A promotion brings what was tried, and nothing newer. */
TEST(a_set_with_an_older_side_does_not_get_it)
{
    AUTO_FREE char *older = GIT_TEXT("res", "rev-parse", B "~1");
    AUTO_JSON *args = SET(A, B);
    json_put_text(json_array_get(json_list(args, "ticks"), 1), "tip", older);
    json_put_text(args, "policy", "skip");
    AUTO_JSON *reply = ask("integrate", json_incref(args));
    IS_STATE(reply, "ready", B);
}

/* Trunk itself has come to touch the line: the resolution is left out, and the branches with it. */
TEST(a_resolution_that_conflicts_itself_is_said)
{
    AUTO_FREE char *before = tip("res", "main");
    commit_price("main", "99");
    push();
    AUTO_JSON *args = SET(A, B);
    json_put_text(args, "policy", "skip");
    AUTO_JSON *reply = ask("integrate", json_incref(args));
    IS_STATE(reply, "conflicts", "none");
    IS_INT(json_array_size(json_list(reply, "out")), 2);
    AUTO_JSON *facts = ask("merge.facts", SET(A, B));
    IS_STATE(facts, "conflicts", "none");
    free(GIT_TEXT("res", "reset", "-q", "--hard", before));
    push();
}

/* --- the end -------------------------------------------------------------------------------- */

TEST(a_side_that_is_pushed_over_ends_it)
{
    AUTO_FREE char *before = tip("res", B);
    free(GIT_TEXT("res", "checkout", "-q", B));
    free(GIT_TEXT("res", "commit", "-q", "--amend", "-m", "another"));
    free(GIT_TEXT("res", "reset", "-q", "--hard", "HEAD~1"));
    push();
    AUTO_JSON *reply = states();
    IS_STATE(reply, "moved_off", B);
    free(GIT_TEXT("res", "reset", "-q", "--hard", before));
    push();
}

TEST(a_side_on_trunk_ends_it_and_it_folds_into_the_other)
{
    free(GIT_TEXT("res", "checkout", "-q", "main"));
    free(GIT_TEXT("res", "merge", "-q", "--no-ff", "-m", "land", A));
    push();
    AUTO_JSON *reply = states();
    IS_STATE(reply, "landed", A);
    AUTO_JSON *alone = ask("integrate", SET(B));
    OK(json_object_get(alone, "conflict")); /* with trunk now */
    AUTO_JSON *folded = ask("resolve.fold", json_pack("{s:s, s:o, s:s}", "app", "res", "resolution",
                                                      resolution(), "into", B));
    OK(json_bool(folded, "moved", false));
    free(GIT_TEXT("res", "checkout", "-q", "main"));
    free(GIT_TEXT("res", "fetch", "-q", "ops", "+" B ":" B));
    IS_INT(RUN_GIT("res", "ls-remote", "--exit-code", "ops", R), 2); /* it is gone */
    free(GIT_TEXT("res", "checkout", "-q", B));
    AUTO_FREE char *price = line_ten(B, FILE_NAME);
    IS_STR(price, "63");
    AUTO_FREE char *base = tip("res", "main"), *b = tip("res", B);
    AUTO_JSON *merged =
        ask("integrate", json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "app", "res", "trunk", "main",
                                   "base", base, "ticks", "branch", B, "tip", b));
    OK(json_text(merged, "commit"));
}

TEST(what_is_not_resolved_is_not_folded)
{
    commit_price("third", "51");
    free(GIT_TEXT("res", "branch", "fourth", "main"));
    commit_price("fourth", "41");
    push();
    AUTO_JSON *reply = ask("resolve.open", open_args("resolve/t+f", names("third", "fourth")));
    AUTO_JSON *row = json_pack("{s:s, s:s, s:s, s:[s], s:O}", "branch", "resolve/t+f", "tip",
                               json_text(reply, "tip"), "opened", json_text(reply, "tip"), "files",
                               FILE_NAME, "sides", json_list(reply, "sides"));
    IS_INT(ask_kind("resolve.fold", json_pack("{s:s, s:O, s:s}", "app", "res", "resolution", row,
                                              "into", "fourth")),
           E_STATE_CONFLICT);
    /* a file that conflicted is a folder now: that is resolved, and no failure */
    free(GIT_TEXT("res", "fetch", "-q", "ops"));
    free(GIT_TEXT("res", "checkout", "-q", "-b", "resolve/t+f", json_text(reply, "tip")));
    free(GIT_TEXT("res", "rm", "-q", FILE_NAME));
    AUTO_FREE char *deep = mem_format("%s/res/" FILE_NAME, home);
    struct err err = ERR_INIT;
    OK(file_make_dirs(deep, 0755, &err) == 0);
    put_file("res", long_file, "one\n");
    commit_file("res", FILE_NAME "/x", "two\n");
    push();
    AUTO_FREE char *now = tip("res", "resolve/t+f");
    json_put_text(row, "tip", now);
    AUTO_JSON *folded = ask("resolve.fold", json_pack("{s:s, s:O, s:s}", "app", "res", "resolution",
                                                      row, "into", "fourth"));
    OK(json_bool(folded, "moved", false));
    free(opened);
    free(long_file);
    json_decref(sides);
    end_in_order();
}
