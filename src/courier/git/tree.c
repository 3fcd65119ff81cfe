/* The list of a tree, and file.read, which needs one line of it.
 *
 * `ls-tree -r -t -l` is read as it comes and killed at the first limit passed, so that a tree of
 * 10^10 virtual files costs no more than half a million lines. Folders are listed too: a deep nest
 * without files shows itself by its first 64 levels. */
#include "courier/git/tree.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "base/str.h"

#define LINE_MAX_BYTES (TREE_PATH_MAX + 128)
#define PATHS_MAX (128u << 20)
#define FILE_READ_DEFAULT (1 << 20)
#define FILE_READ_MAX (4 << 20)

void tree_list_done(struct tree_list *l)
{
    free(l->entries);
    buf_done(&l->paths);
    *l = (struct tree_list){0};
}

const char *tree_path(const struct tree_list *l, const struct tree_entry *e)
{
    return l->paths.data + e->path;
}

static bool component_fits(struct str name)
{
    if (name.length == 0 || str_is(name, ".") || str_is(name, ".."))
        return false;
    return !str_equal_nocase(name, ".git") && !str_equal_nocase(name, "git~1");
}

bool tree_path_fits(struct str path)
{
    if (path.length == 0 || path.length > TREE_PATH_MAX || str_has_control(path) ||
        path.data[path.length - 1] == '/')
        return false;
    while (path.length > 0)
        if (!component_fits(str_cut(&path, '/')))
            return false;
    return true;
}

static size_t path_depth(struct str path)
{
    size_t depth = 1;
    for (size_t i = 0; i < path.length; i++)
        depth += path.data[i] == '/';
    return depth;
}

static int entry_kind(struct str mode, struct str path, enum tar_kind *ret_kind, struct err *err)
{
    static const struct {
        const char *mode;
        enum tar_kind kind;
    } kinds[] = {{"100644", TAR_FILE},
                 {"100664", TAR_FILE},
                 {"100755", TAR_EXECUTABLE},
                 {"120000", TAR_LINK},
                 {"040000", TAR_FOLDER}};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_is(mode, kinds[i].mode)) {
            *ret_kind = kinds[i].kind;
            return 0;
        }
    if (str_is(mode, "160000"))
        return FAIL(err, E_SUBMODULE_REFUSED,
                    "'%.*s' is a submodule: put its files into the repository instead",
                    (int)path.length, path.data);
    return FAIL(err, E_ARCHIVE_TYPE, "'%.*s' is neither file, link nor folder", (int)path.length,
                path.data);
}

static int check_limits(const struct tree_list *l, const struct tree_entry *e, struct str path,
                        struct err *err)
{
    if (l->count >= TREE_ENTRIES_MAX || l->paths.failed)
        return FAIL(err, E_REPO_TOO_LARGE, "the tree has more than %d entries", TREE_ENTRIES_MAX);
    if (path_depth(path) > TREE_DEPTH_MAX)
        return FAIL(err, E_REPO_TOO_LARGE, "the tree is deeper than %d folders", TREE_DEPTH_MAX);
    if (e->size > TREE_BYTES_MAX - l->bytes)
        return FAIL(err, E_REPO_TOO_LARGE, "the files of the tree are larger than 4 GiB");
    if (e->kind == TAR_LINK && e->size > TREE_TARGET_MAX)
        return FAIL(err, E_ARCHIVE_PATH, "the target of link '%.*s' is too long", (int)path.length,
                    path.data);
    return 0;
}

int tree_list_add(struct tree_list *l, struct str line, struct err *err)
{
    struct tree_entry e = {0};
    struct str head = str_cut(&line, '\t');
    struct str path = line;
    struct str mode = str_cut(&head, ' ');
    (void)str_cut(&head, ' '); /* the type: the mode says it */
    struct str id = str_cut(&head, ' ');
    struct str size = str_trim(head);
    if (!str_is_commit(id))
        return FAIL(err, E_CORRUPT, "'git ls-tree' gave a bad line");
    if (!tree_path_fits(path))
        return FAIL(err, E_ARCHIVE_PATH, "the tree has a path that is refused: '%.*s'",
                    (int)path.length, path.data);
    if (entry_kind(mode, path, &e.kind, err) < 0)
        return -1;
    if (e.kind != TAR_FOLDER && str_to_int(size, 0, INT64_MAX, "size of a file", &e.size, err) < 0)
        return -1;
    if (check_limits(l, &e, path, err) < 0)
        return -1;
    (void)snprintf(e.id, sizeof(e.id), "%.*s", (int)id.length, id.data);
    e.path = l->paths.length;
    (void)buf_add_str(&l->paths, path); /* `failed` is looked at before the next one */
    (void)buf_add_char(&l->paths, '\0');
    if (l->count % 4096 == 0)
        l->entries = mem_resize(l->entries, l->count + 4096, sizeof(*l->entries));
    l->entries[l->count++] = e;
    l->files += e.kind != TAR_FOLDER;
    l->bytes += e.size;
    return 0;
}

static int read_lines(struct git_process *p, struct tree_list *l, struct err *err)
{
    struct str line;
    for (;;) {
        int r = git_process_until(p, '\0', LINE_MAX_BYTES, &line, err);
        if (r == GIT_PROCESS_END)
            return 0;
        if (r < 0 && err->kind == E_TOO_LARGE)
            err->kind = E_REPO_TOO_LARGE;
        if (r < 0 || tree_list_add(l, line, err) < 0)
            return -1;
    }
}

static int list_ended(struct git_process *p, const struct git_call *call, const char *commit,
                      const struct tree_list *l, struct err *err)
{
    struct git_outcome outcome;
    if (git_process_wait(p, &outcome, err) < 0)
        return -1;
    if (outcome.signal)
        return FAIL(err, E_REPO_TOO_LARGE, "the tree is nested too deeply");
    if (outcome.exit_code != 0 && l->count == 0)
        return FAIL(err, E_NOT_FOUND, "commit '%s' does not exist", commit);
    if (l->paths.failed)
        return FAIL(err, E_REPO_TOO_LARGE, "the paths of the tree are too long");
    return git_outcome_check(call, &outcome, err);
}

int tree_list_read(const char *dir, const char *commit, struct tree_list *ret_list, struct err *err)
{
    AUTO_GIT(call);
    AUTO(git_process) *p = NULL;
    struct tree_list l = {.paths = BUF_INIT(PATHS_MAX)};
    git_call_init(&call, dir);
    git_verb(&call, "ls-tree");
    git_arg(&call, "-r");
    git_arg(&call, "-t");
    git_arg(&call, "-z");
    git_arg(&call, "-l");
    git_arg(&call, "--full-tree");
    git_end(&call);
    git_arg(&call, commit);
    if (git_process_start(&call, 60000, &p, err) < 0)
        return -1;
    if (read_lines(p, &l, err) < 0 || list_ended(p, &call, commit, &l, err) < 0) {
        tree_list_done(&l);
        return -1;
    }
    *ret_list = l;
    return 0;
}

/* --- file.read ------------------------------------------------------------------------------ */

/* The entries of the path and of each folder on the way, as tree_list lines. */
static int list_path(const char *dir, const char *commit, const char *path, struct buf *out,
                     struct err *err)
{
    AUTO_GIT(call);
    struct git_outcome outcome;
    git_call_init(&call, dir);
    git_verb(&call, "ls-tree");
    git_arg(&call, "-z");
    git_arg(&call, "-l");
    git_arg(&call, "--full-tree");
    git_end(&call);
    git_arg(&call, commit);
    git_arg(&call, "--");
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        git_arg_format(&call, "%.*s", (int)(slash - path), path);
    git_arg(&call, path);
    if (git_capture(&call, (struct str){0}, out, &outcome, err) < 0)
        return -1;
    if (outcome.exit_code != 0)
        return FAIL(err, E_NOT_FOUND, "commit '%s' does not exist", commit);
    return 0;
}

static int find_file(struct str lines, const char *path, int64_t max, char id[GIT_OID],
                     struct err *err)
{
    struct tree_list l = {.paths = BUF_INIT(1u << 20)};
    const struct tree_entry *found = NULL;
    int result = 0;
    while (result == 0 && lines.length > 0)
        result = tree_list_add(&l, str_cut(&lines, '\0'), err);
    for (size_t i = 0; result == 0 && i < l.count; i++) {
        if (l.entries[i].kind == TAR_LINK)
            result = FAIL(err, E_PATH_ESCAPES, "'%s' is a link", tree_path(&l, &l.entries[i]));
        if (text_is(tree_path(&l, &l.entries[i]), path))
            found = &l.entries[i];
    }
    if (result == 0 && (!found || found->kind == TAR_FOLDER))
        result = FAIL(err, E_NOT_FOUND, "'%s' is not in the commit", path);
    if (result == 0 && found->size > max)
        result = FAIL(err, E_TOO_LARGE, "'%s' is larger than %lld bytes", path, (long long)max);
    if (result == 0)
        (void)snprintf(id, GIT_OID, "%s", found->id);
    tree_list_done(&l);
    return result;
}

static int read_blob(const char *dir, const char *id, struct buf *out, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "cat-file");
    git_arg(&call, "blob");
    git_arg(&call, id);
    return git_run(&call, (struct str){0}, out, err);
}

int git_file_read(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_BUF lines = BUF_INIT(1u << 20);
    AUTO_BUF content = BUF_INIT(FILE_READ_MAX);
    char id[GIT_OID];
    const char *commit = json_text(ask->args, "commit");
    const char *path = json_text(ask->args, "path");
    int64_t max = json_int(ask->args, "max", FILE_READ_DEFAULT);
    if (repo_open(ask, &dir, err) < 0 || repo_check_commit(commit, "the commit", err) < 0)
        return -1;
    if (!path || !tree_path_fits(str_of(path)))
        return FAIL(err, E_PATH_ESCAPES, "'%s' is no path inside a repository", path ? path : "");
    if (list_path(dir, commit, path, &lines, err) < 0 ||
        find_file(buf_str(&lines), path, max, id, err) < 0 || read_blob(dir, id, &content, err) < 0)
        return -1;
    struct str text = buf_str(&content);
    if (!str_is_utf8(text) || memchr(text.data ? text.data : "", '\0', text.length))
        return FAIL(err, E_VALUE_INVALID, "'%s' is no UTF-8 text", path);
    *ret_reply = json_object();
    json_put_str(*ret_reply, "text", text);
    return 0;
}
