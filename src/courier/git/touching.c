/* branch.touching: which of these branches change files whose paths hold a text. What a branch
 * changes is what it has since it left trunk: a look at trees alone, no history is walked. */
#include "base/json.h"
#include "base/str.h"
#include "courier/git/repo.h"

#define NAMES_MAX ((size_t)8 << 20) /* bytes of the names that one branch changes */
#define FILES_TOLD 20               /* of each branch; more are counted */

static int changed_files(const char *dir, const char *base, const char *tip, struct buf *names,
                         struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "diff");
    git_arg(&call, "--name-only");
    git_arg(&call, "--no-renames");
    git_arg(&call, "-z");
    git_end(&call);
    git_arg_format(&call, "%s...%s", base, tip);
    return git_run(&call, (struct str){0}, names, err);
}

static bool holds(struct str name, struct str text)
{
    return memmem(name.data, name.length, text.data, text.length) != NULL;
}

/* NULL: none of its files. */
static json_t *touched(const char *branch, struct str names, struct str text)
{
    json_t *files = json_array();
    int64_t count = 0;
    while (names.length > 0) {
        struct str name = str_cut(&names, '\0');
        if (!holds(name, text))
            continue;
        if (count++ < FILES_TOLD)
            json_push(files, json_str_value(name));
    }
    if (count == 0) {
        json_decref(files);
        return NULL;
    }
    json_t *row = json_object();
    json_put_text(row, "branch", branch);
    json_put(row, "files", files);
    json_put_int(row, "file_count", count);
    return row;
}

int git_branch_touching(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_JSON *rows = json_array();
    const char *base = json_text(ask->args, "base");
    size_t i;
    json_t *tick;
    if (repo_open(ask, &dir, err) < 0 || repo_check_commit(base, "the base", err) < 0)
        return -1;
    json_array_foreach(json_list(ask->args, "ticks"), i, tick)
    {
        AUTO_BUF names = BUF_INIT(NAMES_MAX);
        const char *tip = json_text(tick, "tip");
        if (repo_check_commit(tip, "the tip", err) < 0 ||
            changed_files(dir, base, tip, &names, err) < 0)
            return -1;
        json_t *row = touched(json_text_or(tick, "branch", ""), buf_str(&names),
                              str_of(json_text_or(ask->args, "path", "")));
        if (row)
            json_push(rows, row);
    }
    *ret_reply = json_object();
    json_put(*ret_reply, "branches", TAKE(rows));
    return 0;
}
