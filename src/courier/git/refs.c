/* Refs read and moved, and the verbs that are little more than that: tips, create, delete,
 * publish. Every ref is named in full, so that git guesses nothing. */
#include <stdio.h>
#include "base/fault.h"
#include "base/json.h"
#include "base/str.h"
#include "courier/git/remote.h"

#define COMMIT_MAX (1u << 20) /* of a commit object */
#define RETAIN_MAX 5000       /* refs deleted by one call: the rest goes with the next one */

void repo_tips_done(struct map *tips)
{
    for (size_t i = 0; i < tips->count; i++)
        free(tips->entries[i].value);
    map_done(tips);
}

/* Patterns of for-each-ref also match what lies below: keep only what was asked for. */
static void tips_parse(struct str text, struct map *wanted, struct map *tips)
{
    while (text.length > 0) {
        struct str line = str_cut(&text, '\n');
        struct str commit = str_cut(&line, ' ');
        AUTO_FREE char *ref = str_dup(line);
        if (map_get(wanted, ref) && str_is_commit(commit))
            free(map_put(tips, ref, str_dup(commit)));
    }
}

static int tips_some(const char *dir, const char *const *refs, size_t count, struct map *tips,
                     struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(4u << 20);
    struct map wanted;
    git_call_init(&call, dir);
    git_verb(&call, "for-each-ref");
    git_arg(&call, "--format=%(objectname) %(refname)");
    git_end(&call);
    map_init(&wanted);
    for (size_t i = 0; i < count; i++) {
        git_arg(&call, refs[i]);
        (void)map_put(&wanted, refs[i], &wanted); /* a set */
    }
    int result = git_run(&call, (struct str){0}, &out, err);
    if (result == 0)
        tips_parse(buf_str(&out), &wanted, tips);
    map_done(&wanted);
    return result;
}

int repo_tips(const char *dir, const char *const *refs, size_t count, struct map *ret_tips,
              struct err *err)
{
    for (size_t i = 0; i < count; i += GIT_REFS_A_CALL) {
        size_t n = count - i < GIT_REFS_A_CALL ? count - i : GIT_REFS_A_CALL;
        if (tips_some(dir, refs + i, n, ret_tips, err) < 0)
            return -1;
    }
    return 0;
}

/* The one ref, or NULL: heap. */
static int tip_of(const char *dir, const char *ref, char **ret_commit, struct err *err)
{
    struct map tips;
    map_init(&tips);
    int result = repo_tips(dir, &ref, 1, &tips, err);
    if (result == 0) {
        const char *commit = map_get(&tips, ref);
        *ret_commit = commit ? mem_strdup(commit) : NULL;
    }
    repo_tips_done(&tips);
    return result;
}

/* SECONDS of "committer NAME <MAIL> SECONDS ZONE". */
static int committer_date(struct str line, int64_t *ret_date, struct err *err)
{
    const char *end = memrchr(line.data, '>', line.length);
    struct str rest =
        end ? (struct str){end + 1, line.length - (size_t)(end + 1 - line.data)} : (struct str){0};
    rest = str_trim(rest);
    return str_to_int(str_cut(&rest, ' '), 0, 1ll << 40, "committer date", ret_date, err);
}

static int parse_commit(struct str text, struct repo_commit *ret_commit, struct err *err)
{
    struct repo_commit c = {0};
    while (text.length > 0) {
        struct str line = str_cut(&text, '\n');
        if (line.length == 0)
            break;
        if (str_starts(line, "tree ") && line.length == 5 + GIT_OID - 1)
            (void)snprintf(c.tree, GIT_OID, "%.*s", GIT_OID - 1, line.data + 5);
        if (!str_starts(line, "committer "))
            continue;
        if (!c.tree[0] || committer_date(line, &c.date, err) < 0)
            return -1;
        *ret_commit = c;
        return 0;
    }
    return FAIL(err, E_CORRUPT, "a commit has no committer");
}

/* "ID commit SIZE" and SIZE bytes and a line end, or "ID missing". */
static int read_commit(struct git_process *p, struct repo_commit *ret_commit, struct err *err)
{
    struct str line, piece;
    AUTO_BUF text = BUF_INIT(COMMIT_MAX);
    int64_t size;
    int r = git_process_until(p, '\n', 200, &line, err);
    if (r != 0)
        return r < 0 ? -1 : FAIL(err, E_CORRUPT, "'git cat-file' ended early");
    (void)str_cut(&line, ' '); /* the id we asked for */
    if (!str_is(str_cut(&line, ' '), "commit"))
        return REPO_ABSENT;
    if (str_to_int(line, 0, COMMIT_MAX - 1, "size of a commit", &size, err) < 0)
        return -1;
    for (size_t left = (size_t)size + 1; left > 0; left -= piece.length) {
        if (git_process_some(p, left, &piece, err) < 0)
            return -1;
        (void)buf_add_str(&text, piece); /* the size was checked */
    }
    return parse_commit(buf_str(&text), ret_commit, err);
}

int repo_commits(const char *dir, const char *objects, const char *const *commits, size_t count,
                 struct repo_commit *ret_commits, size_t *ret_absent, struct err *err)
{
    AUTO_GIT(call);
    AUTO(git_process) *p = NULL;
    git_call_init(&call, dir);
    git_verb(&call, "cat-file");
    git_arg(&call, "--batch");
    if (objects)
        git_quarantine(&call, dir, objects);
    if (git_process_start(&call, 60000, &p, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        char line[GIT_OID + 1];
        (void)snprintf(line, sizeof(line), "%s\n", commits[i]);
        if (git_process_write(p, str_of(line), err) < 0)
            return -1;
        int r = read_commit(p, &ret_commits[i], err);
        if (r == REPO_ABSENT)
            *ret_absent = i;
        if (r != 0)
            return r < 0 ? -1 : REPO_ABSENT;
    }
    return 0;
}

int repo_is_ancestor(const char *dir, const char *objects, const char *a, const char *b,
                     struct err *err)
{
    AUTO_GIT(call);
    struct git_outcome outcome;
    git_call_init(&call, dir);
    git_verb(&call, "merge-base");
    git_arg(&call, "--is-ancestor");
    git_end(&call);
    git_arg(&call, a);
    git_arg(&call, b);
    if (objects)
        git_quarantine(&call, dir, objects);
    if (git_capture(&call, (struct str){0}, NULL, &outcome, err) < 0)
        return -1;
    return outcome.exit_code == 1 ? REPO_NO_ANCESTOR : git_outcome_check(&call, &outcome, err);
}

/* Why git refused: -1 always. The ref that it speaks of, or the first. */
static int move_failed(const struct git_outcome *outcome, const struct repo_move *moves,
                       size_t count, struct err *err)
{
    static const struct {
        const char *words;
        enum err_kind kind;
        const char *text;
    } known[] = {
        {"already exists", E_EXISTS, "exists already"},
        {"; cannot create", E_EXISTS, "cannot be made: another name stands in its way"},
        {"but expected", E_REF_CHANGED, "has moved meanwhile"},
        {"unable to resolve reference", E_REF_CHANGED, "does not exist any more"},
        {"nonexistent object", E_BRANCH_UNKNOWN, "cannot point to a commit that does not exist"},
        {"non-commit object", E_BRANCH_UNKNOWN, "cannot point to what is no commit"},
    };
    const char *ref = moves[0].ref;
    for (size_t i = count; i-- > 0;)
        if (strstr(outcome->text, moves[i].ref))
            ref = moves[i].ref;
    ref += text_starts(ref, "refs/heads/") ? strlen("refs/heads/") : 0;
    ref += text_starts(ref, "refs/tags/") ? strlen("refs/tags/") : 0;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strstr(outcome->text, known[i].words))
            return FAIL(err, known[i].kind, "'%s' %s", ref, known[i].text);
    return FAIL(err, E_SYSTEM, "cannot move '%s': %s", ref, outcome->text);
}

int repo_move_refs(const char *dir, const struct repo_move *moves, size_t count, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF input = BUF_INIT(0);
    struct git_outcome outcome;
    if (count == 0)
        return 0;
    git_call_init(&call, dir);
    git_verb(&call, "update-ref");
    git_arg(&call, "--no-deref");
    git_arg(&call, "--stdin");
    git_arg(&call, "-z");
    for (size_t i = 0; i < count; i++) {
        (void)buf_add_format(&input, "update %s", moves[i].ref);
        (void)buf_add_char(&input, '\0');
        (void)buf_add_text(&input, moves[i].to ? moves[i].to : GIT_ZERO);
        (void)buf_add_char(&input, '\0');
        (void)buf_add_text(&input, moves[i].expect ? moves[i].expect : "");
        (void)buf_add_char(&input, '\0');
    }
    FAULT("repo.move_refs");
    if (git_capture(&call, buf_str(&input), NULL, &outcome, err) < 0)
        return -1;
    return outcome.exit_code == 0 ? 0 : move_failed(&outcome, moves, count, err);
}

int repo_move_ref(const char *dir, const char *ref, const char *to, const char *expect,
                  struct err *err)
{
    struct repo_move move = {ref, to, expect};
    return repo_move_refs(dir, &move, 1, err);
}

static int list_refs(const json_t *names, char ***ret_refs, struct err *err)
{
    size_t count = json_array_size(names);
    char **refs = mem_array(count + 1, sizeof(*refs));
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        refs[i] = mem_format("refs/heads/%s", name ? name : "");
        if (repo_check_branch(name, err) == 0)
            continue;
        for (size_t j = 0; j <= i; j++)
            free(refs[j]);
        free(refs);
        return -1;
    }
    *ret_refs = refs;
    return 0;
}

int git_branch_tips(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    json_t *names = json_list(ask->args, "names");
    size_t count = json_array_size(names);
    char **refs;
    struct map tips;
    if (repo_open(ask, &dir, err) < 0 || list_refs(names, &refs, err) < 0)
        return -1;
    map_init(&tips);
    int result = repo_tips(dir, (const char *const *)refs, count, &tips, err);
    json_t *found = json_object();
    for (size_t i = 0; i < count; i++) {
        json_put_text(found, json_string_value(json_array_get(names, i)), map_get(&tips, refs[i]));
        free(refs[i]);
    }
    free(refs);
    repo_tips_done(&tips);
    json_t *reply = json_object();
    json_put(reply, "tips", found);
    if (result == 0)
        *ret_reply = TAKE(reply);
    json_decref(reply);
    return result;
}

/* 40 hex digits are a commit, all else a branch. */
static int resolve_from(const char *dir, const char *from, char **ret_commit, struct err *err)
{
    struct repo_commit found;
    size_t absent;
    if (str_is_commit(str_of(from))) {
        int r = repo_commits(dir, NULL, &from, 1, &found, &absent, err);
        if (r == REPO_ABSENT)
            return FAIL(err, E_BRANCH_UNKNOWN, "commit '%s' does not exist", from);
        *ret_commit = r == 0 ? mem_strdup(from) : NULL;
        return r;
    }
    if (repo_check_branch(from, err) < 0)
        return -1;
    AUTO_FREE char *ref = mem_format("refs/heads/%s", from);
    char *commit = NULL;
    if (tip_of(dir, ref, &commit, err) < 0)
        return -1;
    if (!commit)
        return FAIL(err, E_BRANCH_UNKNOWN, "branch '%s' does not exist", from);
    *ret_commit = commit;
    return 0;
}

int git_branch_create(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *from = NULL;
    AUTO_FREE char *now = NULL;
    const char *name = json_text(ask->args, "name");
    if (repo_open(ask, &dir, err) < 0 || repo_check_branch(name, err) < 0 ||
        resolve_from(dir, json_text_or(ask->args, "from", ""), &from, err) < 0)
        return -1;
    AUTO_FREE char *ref = mem_format("refs/heads/%s", name);
    if (tip_of(dir, ref, &now, err) < 0)
        return -1;
    if (now && !text_is(now, from))
        return FAIL(err, E_EXISTS, "branch '%s' exists already", name);
    if (!now && repo_publish(ask, dir, &(struct repo_move){ref, from, GIT_ZERO}, 1, err) < 0)
        return -1;
    *ret_reply = json_object();
    json_put_text(*ret_reply, "tip", from);
    return 0;
}

int git_branch_delete(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *now = NULL;
    const char *name = json_text(ask->args, "name");
    const char *expect = json_text(ask->args, "expect");
    if (repo_open(ask, &dir, err) < 0 || repo_check_branch(name, err) < 0)
        return -1;
    AUTO_FREE char *ref = mem_format("refs/heads/%s", name);
    if (expect && *expect && repo_check_commit(expect, "the expected tip", err) < 0)
        return -1;
    if (tip_of(dir, ref, &now, err) < 0)
        return -1;
    if (now && expect && *expect && !text_is(now, expect))
        return FAIL(err, E_REF_CHANGED, "branch '%s' has moved meanwhile", name);
    if (now && repo_publish(ask, dir, &(struct repo_move){ref, NULL, now}, 1, err) < 0)
        return -1;
    *ret_reply = json_object();
    return 0;
}

static int check_hidden(const char *ref, struct err *err)
{
    if (ref && text_starts(ref, "refs/slipway/") &&
        str_is_branch(str_of(ref + strlen("refs/slipway/"))))
        return 0;
    return FAIL(err, E_REF_INVALID, "'%s' is no ref below refs/slipway/", ref ? ref : "");
}

int git_ref_publish(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *now = NULL;
    const char *ref = json_text(ask->args, "ref");
    const char *commit = json_text(ask->args, "commit");
    const char *expect = json_text(ask->args, "expect");
    if (repo_open(ask, &dir, err) < 0 || check_hidden(ref, err) < 0 ||
        repo_check_commit(commit, "the commit", err) < 0)
        return -1;
    if (expect && *expect && repo_check_commit(expect, "the expected commit", err) < 0)
        return -1;
    if (tip_of(dir, ref, &now, err) < 0)
        return -1;
    if (expect && !*expect)
        expect = GIT_ZERO;
    if (!text_is(now, commit) && repo_move_ref(dir, ref, commit, expect, err) < 0)
        return -1;
    *ret_reply = json_object();
    return 0;
}

/* The number of "refs/slipway/ENV/bN", 0 for anything else. */
static int64_t build_number(struct str ref, const char *prefix)
{
    int64_t number;
    struct err ignored = ERR_INIT;
    size_t length = strlen(prefix);
    if (!str_starts(ref, prefix))
        return 0;
    struct str rest = {ref.data + length, ref.length - length};
    return str_to_int(rest, 1, INT64_MAX, "build", &number, &ignored) < 0 ? 0 : number;
}

static bool is_kept(const json_t *keep, int64_t number)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)keep, i, one) if (json_integer_value(one) == number) return true;
    return false;
}

/* "delete REF NUL NUL" for each one that goes. */
static int64_t add_deletes(struct str refs, const char *prefix, const struct git_ask *ask,
                           struct buf *input)
{
    int64_t newest = json_int(ask->args, "newest", 0), count = 0;
    while (refs.length > 0 && count < RETAIN_MAX) {
        struct str ref = str_cut(&refs, '\n');
        int64_t number = build_number(ref, prefix);
        if (number == 0 || number > newest || is_kept(json_list(ask->args, "keep"), number))
            continue;
        (void)buf_add_format(input, "delete %.*s", (int)ref.length, ref.data);
        (void)buf_add(input, "\0\0", 2); /* whatever it was */
        count++;
    }
    return count;
}

static int delete_refs(const char *dir, struct str input, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "update-ref");
    git_arg(&call, "--no-deref");
    git_arg(&call, "--stdin");
    git_arg(&call, "-z");
    FAULT("repo.retain");
    return git_run(&call, input, NULL, err);
}

int git_ref_retain(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(16u << 20), input = BUF_INIT(0);
    AUTO_FREE char *folder = mem_format("refs/slipway/%s", json_text(ask->args, "env"));
    AUTO_FREE char *prefix = mem_format("%s/b", folder);
    if (repo_open(ask, &dir, err) < 0 || check_hidden(folder, err) < 0)
        return -1;
    git_call_init(&call, dir);
    git_verb(&call, "for-each-ref");
    git_arg(&call, "--format=%(refname)");
    git_end(&call);
    git_arg(&call, folder);
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    int64_t count = add_deletes(buf_str(&out), prefix, ask, &input);
    if (count > 0 && delete_refs(dir, buf_str(&input), err) < 0)
        return -1;
    *ret_reply = json_object();
    json_put_int(*ret_reply, "removed", count);
    return 0;
}
