/* The child that packs: `slipway host-pack TREE`, {"output","exclude","prefix","epoch"} on stdin,
 * the tar to fd 3. TREE becomes its whole world, read-only. A symlink is stored as the data it is,
 * never followed: an output path that is one, or goes through one, is E_PATH_ESCAPES. The same
 * content gives the same bytes: sorted, one time, one owner, modes only "may it be executed". */
#include "host/build/pack.h"
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/build/build.h"
#include "host/narrow/narrow.h"

#define DEPTH_MAX 200
#define SPEC_MAX (1u << 20)
#define COPY_BYTES (256u << 10)
#define TAR_FD 3

struct pack {
    const struct pack_spec *spec;
    struct archive *archive;
    struct pack_result result;
    int depth;
    char *copy;
    char *last_folder; /* the deepest parent folder that stands in the tar, for outputs below "." */
};

static struct archive_entry *entry_new(struct pack *p, const char *path, mode_t mode, int64_t size)
{
    struct archive_entry *e = archive_entry_new();
    AUTO_FREE char *name =
        path[0] ? mem_format("%s/%s", p->spec->prefix, path) : mem_strdup(p->spec->prefix);
    bool run = (mode & 0111) != 0 || !S_ISREG(mode);
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, mode & S_IFMT);
    archive_entry_set_perm(e, S_ISLNK(mode) ? 0777 : run ? 0755 : 0644);
    archive_entry_set_size(e, size);
    archive_entry_set_mtime(e, p->spec->epoch, 0);
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    return e;
}

static int put_header(struct pack *p, struct archive_entry *e, const char *path, struct err *err)
{
    int r = archive_write_header(p->archive, e);
    archive_entry_free(e);
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return archive_errno(p->archive) == ENOSPC
                   ? FAIL(err, E_DISK_FULL, "no space for the layer")
                   : FAIL(err, E_ARCHIVE_INVALID, "cannot pack '%s': %s", path,
                          archive_error_string(p->archive));
    return 0;
}

static int count(struct pack *p, int64_t bytes, struct err *err)
{
    int64_t files_max = p->spec->files_max ? p->spec->files_max : PACK_FILES_MAX;
    p->result.files++;
    p->result.bytes += bytes;
    if (p->result.files > files_max)
        return FAIL(err, E_ARCHIVE_TOO_LARGE,
                    "the output has more than %lld files: name fewer "
                    "paths in 'output' or leave some out by 'exclude'",
                    (long long)files_max);
    if (p->result.bytes > PACK_BYTES_MAX)
        return FAIL(err, E_ARCHIVE_TOO_LARGE, "the output is larger than %lld bytes",
                    PACK_BYTES_MAX);
    return 0;
}

static int put_content(struct pack *p, int fd, int64_t size, const char *path, struct err *err)
{
    while (size > 0) {
        ssize_t n = read(fd, p->copy, size < COPY_BYTES ? (size_t)size : COPY_BYTES);
        if (n < 0)
            return FAIL_SYS(err, "cannot read '%s'", path);
        if (n == 0)
            return FAIL(err, E_CORRUPT, "'%s' became shorter while it was packed", path);
        if (archive_write_data(p->archive, p->copy, (size_t)n) != n)
            return FAIL(err, E_DISK_FULL, "cannot write the layer: %s",
                        archive_error_string(p->archive));
        size -= n;
    }
    return 0;
}

static int put_file(struct pack *p, int dir_fd, const char *name, const char *path, struct err *err)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return FAIL_SYS(err, "cannot read '%s'", path);
    if (count(p, st.st_size, err) < 0 ||
        put_header(p, entry_new(p, path, st.st_mode, st.st_size), path, err) < 0)
        return -1;
    return put_content(p, fd, st.st_size, path, err);
}

static int put_link(struct pack *p, int dir_fd, const char *name, const char *path, struct err *err)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(dir_fd, name, target, sizeof(target) - 1);
    if (length < 0)
        return FAIL_SYS(err, "cannot read the link '%s'", path);
    target[length] = '\0';
    struct archive_entry *e = entry_new(p, path, S_IFLNK, 0);
    archive_entry_set_symlink(e, target);
    if (count(p, 0, err) < 0) {
        archive_entry_free(e);
        return -1;
    }
    return put_header(p, e, path, err);
}

static bool excluded(const struct pack *p, const char *path)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)p->spec->exclude, i, one)
    {
        const char *pattern = json_string_value(one);
        if (pattern && (strcmp(pattern, path) == 0 || fnmatch(pattern, path, FNM_PATHNAME) == 0))
            return true;
    }
    return false;
}

static int put_folder(struct pack *p, int fd, const char *path, struct err *err);

static int put_any(struct pack *p, int dir_fd, const char *name, const char *path, struct err *err)
{
    struct stat st;
    if (excluded(p, path))
        return 0;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return FAIL_SYS(err, "cannot stat '%s'", path);
    if (S_ISREG(st.st_mode))
        return put_file(p, dir_fd, name, path, err);
    if (S_ISLNK(st.st_mode))
        return put_link(p, dir_fd, name, path, err);
    if (!S_ISDIR(st.st_mode))
        return 0; /* sockets and fifos of a server that ran in the build */
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open folder '%s'", path);
    return put_folder(p, fd, path, err);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int put_children(struct pack *p, int fd, const char *path, struct err *err)
{
    struct dirent **names = NULL;
    int number = scandirat(fd, ".", &names, no_dots, by_bytes), r = 0;
    if (number < 0)
        return FAIL_SYS(err, "cannot list folder '%s'", path);
    for (int i = 0; i < number; i++) {
        AUTO_FREE char *child =
            path[0] ? mem_format("%s/%s", path, names[i]->d_name) : mem_strdup(names[i]->d_name);
        if (r == 0)
            r = put_any(p, fd, names[i]->d_name, child, err);
        free(names[i]);
    }
    free(names);
    return r;
}

static int put_folder(struct pack *p, int fd, const char *path, struct err *err)
{
    if (++p->depth > DEPTH_MAX)
        return FAIL(err, E_ARCHIVE_TOO_LARGE, "folders are nested deeper than %d: '%s'", DEPTH_MAX,
                    path);
    if (count(p, 0, err) < 0 || put_header(p, entry_new(p, path, S_IFDIR, 0), path, err) < 0)
        return -1;
    int r = put_children(p, fd, path, err);
    p->depth--;
    return r;
}

/* The folders above an output path (and above the tree), once each. */
static int put_parents(struct pack *p, const char *path, struct err *err)
{
    AUTO_FREE char *copy = mem_strdup(path);
    for (char *slash = copy; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        size_t length = strlen(copy);
        bool there = p->last_folder && strncmp(p->last_folder, copy, length) == 0 &&
                     (p->last_folder[length] == '/' || p->last_folder[length] == '\0');
        if (!there && put_header(p, entry_new(p, copy, S_IFDIR, 0), copy, err) < 0)
            return -1;
        if (!there) {
            free(p->last_folder);
            p->last_folder = mem_strdup(copy);
        }
        *slash = '/';
    }
    return 0;
}

static int put_output(struct pack *p, int tree_fd, const char *path, struct err *err)
{
    AUTO_CLOSE int parent = -1;
    struct stat st;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    AUTO_FREE char *folder = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    int r = file_open_beneath(tree_fd, folder, O_RDONLY | O_DIRECTORY, 0, &parent, err);
    if (r < 0 && err->kind != E_NOT_FOUND)
        return err_wrap(err, "output '%s'", path);
    if (r < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return FAIL(err, E_NOT_FOUND, "the build made no '%s', which 'output' names", path);
    if (S_ISLNK(st.st_mode))
        return FAIL(err, E_PATH_ESCAPES, "output '%s' is a symbolic link", path);
    if (put_parents(p, path, err) < 0)
        return -1;
    return put_any(p, parent, name, path, err);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool below(const char *path, const char *above)
{
    size_t length = strlen(above);
    return length == 0 ||
           (strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

static int clean_one(const char *raw, char **ret_path, struct err *err)
{
    AUTO_BUF path = {0};
    if (!raw || raw[0] == '/' || raw[0] == '\0')
        return FAIL(err, E_PATH_ESCAPES, "output '%s' is no path below the tree", raw ? raw : "");
    for (struct str rest = str_of(raw); rest.data;) {
        struct str part = str_cut(&rest, '/');
        if (str_is(part, ".."))
            return FAIL(err, E_PATH_ESCAPES, "output '%s' leaves the tree", raw);
        if (part.length == 0 || str_is(part, "."))
            continue;
        if (path.length > 0)
            err_ignore(buf_add_char(&path, '/')); /* no ceiling */
        err_ignore(buf_add_str(&path, part));     /* no ceiling */
    }
    *ret_path = buf_take(&path);
    return 0;
}

static bool below_any(const char *path, char *const *above, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (below(path, above[i]))
            return true;
    return false;
}

/* Clean, sorted, without what lies below another one. "" is the whole tree. */
static int clean_outputs(const json_t *list, char **paths, size_t *ret_count, struct err *err)
{
    size_t kept = 0, total = json_array_size(list), i;
    for (i = 0; i < total; i++)
        if (clean_one(json_string_value(json_array_get(list, i)), &paths[i], err) < 0)
            return -1;
    qsort(paths, total, sizeof(*paths), compare_paths);
    for (i = 0; i < total; i++) {
        if (below_any(paths[i], paths, kept)) {
            free(paths[i]);
            paths[i] = NULL;
            continue;
        }
        char *one = TAKE(paths[i]);
        paths[kept++] = one;
    }
    *ret_count = kept;
    return 0;
}

static int put_outputs(struct pack *p, int tree_fd, char **paths, size_t number, struct err *err)
{
    if (number > 0 && paths[0][0] == '\0')
        return put_folder(p, tree_fd, "", err);
    if (put_header(p, entry_new(p, "", S_IFDIR, 0), "", err) < 0)
        return -1;
    for (size_t i = 0; i < number; i++)
        if (put_output(p, tree_fd, paths[i], err) < 0)
            return -1;
    return 0;
}

static int pack_all(struct pack *p, int tree_fd, struct err *err)
{
    size_t total = json_array_size(p->spec->output), number = 0;
    char **paths = mem_array(total + 1, sizeof(*paths));
    int r = clean_outputs(p->spec->output, paths, &number, err);
    if (r == 0)
        r = put_outputs(p, tree_fd, paths, number, err);
    for (size_t i = 0; i < total; i++)
        free(paths[i]);
    free(paths);
    return r;
}

int pack_tree(int tree_fd, const struct pack_spec *spec, int tar_fd, struct pack_result *ret_result,
              struct err *err)
{
    struct pack p = {.spec = spec, .archive = archive_write_new()};
    if (!p.archive || archive_write_set_format_pax_restricted(p.archive) != ARCHIVE_OK ||
        archive_write_open_fd(p.archive, tar_fd) != ARCHIVE_OK)
        return FAIL(err, E_INTERNAL, "cannot set up the tar writer");
    p.copy = mem_alloc(COPY_BYTES);
    int r = pack_all(&p, tree_fd, err);
    if (r == 0 && archive_write_close(p.archive) != ARCHIVE_OK)
        r = FAIL(err, E_DISK_FULL, "cannot write the layer: %s", archive_error_string(p.archive));
    (void)archive_write_free(p.archive); /* closed above when it counts */
    free(p.copy);
    free(p.last_folder);
    if (r == 0)
        *ret_result = p.result;
    return r;
}

static int narrow_to(const char *tree, struct err *err)
{
    static const cap_value_t caps[] = {CAP_DAC_READ_SEARCH}; /* the tree belongs to a range */
    struct narrow_spec spec = {.root = tree,
                               .read_only = true,
                               .keep = caps,
                               .keep_count = 1,
                               .calls = NARROW_READ_FILES,
                               .file_bytes = 2 * PACK_BYTES_MAX,
                               .memory_bytes = 512ll << 20};
    return narrow_self(&spec, err);
}

static int run(struct pack_result *result, struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    AUTO_JSON *value = NULL;
    if (file_read_fd(0, SPEC_MAX, &text, err) < 0 || json_parse(buf_str(&text), &value, err) < 0)
        return -1;
    struct pack_spec spec = {json_list(value, "output"), json_list(value, "exclude"),
                             json_text_or(value, "prefix", "app"), json_int(value, "epoch", 0),
                             PACK_FILES_MAX};
    AUTO_CLOSE int tree = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree < 0)
        return FAIL_SYS(err, "cannot open the tree");
    return pack_tree(tree, &spec, TAR_FD, result, err);
}

int pack_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct pack_result result = {0};
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* names in pax headers are UTF-8 */
    if (argc != 3)
        (void)FAIL(&err, E_USAGE, "host-pack TREE");
    if (err.kind != E_OK || narrow_to(argv[2], &err) < 0 || run(&result, &err) < 0)
        narrow_answer_error(&err);
    json_t *ok = json_object();
    json_put_int(ok, "files", result.files);
    json_put_int(ok, "bytes", result.bytes);
    narrow_answer(ok);
}
