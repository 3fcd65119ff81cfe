/* export: the tree of a commit as a pax tar into an fd.
 *
 * The tree is listed and checked in full before the first byte is written. Then one
 * `cat-file --batch` gives the content of files and links, asked for 64 ahead, copied through a
 * small buffer. .gitattributes has no say: export-ignore and export-subst are not applied. The fd
 * may be a pipe or a file; a reader that went away is E_CANCELLED, one that stands still for two
 * minutes E_TIMEOUT. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "base/json.h"
#include "base/str.h"
#include "courier/git/tree.h"

#define AHEAD_MAX 64
#define STALL_MS 120000
#define EXPORT_MS 3600000
#define FLUSH_BYTES (256u << 10)

struct export
{
    int fd;
    int64_t mtime;
    struct tree_list list;
    struct git_process *cat; /* cat-file --batch */
    size_t asked;            /* entries whose content was asked for, in order */
    size_t ahead;            /* of them not yet read */
    struct buf out;
    int64_t bytes;
};

static void export_done(struct export *x)
{
    tree_list_done(&x->list);
    git_process_free(x->cat);
    buf_done(&x->out);
}

static int await_reader(int fd, struct err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n = poll(&p, 1, STALL_MS);
    if (n > 0 || (n < 0 && errno == EINTR))
        return 0;
    if (n == 0)
        return FAIL(err, E_TIMEOUT, "the reader of the export stands still");
    return FAIL_SYS(err, "cannot wait for the reader of the export");
}

static int flush(struct export *x, struct err *err)
{
    struct str left = buf_str(&x->out);
    while (left.length > 0) {
        ssize_t n = write(x->fd, left.data, left.length);
        if (n < 0 && errno == EPIPE)
            return FAIL(err, E_CANCELLED, "the reader of the export went away");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return FAIL_SYS(err, "cannot write the export");
        if (n < 0 && await_reader(x->fd, err) < 0)
            return -1;
        if (n > 0) {
            left.data += n;
            left.length -= (size_t)n;
        }
    }
    x->bytes += (int64_t)x->out.length;
    buf_clear(&x->out);
    return 0;
}

static int flush_when_full(struct export *x, struct err *err)
{
    return x->out.length < FLUSH_BYTES ? 0 : flush(x, err);
}

/* Keep git busy: ask for the next contents. */
static int ask_ahead(struct export *x, struct err *err)
{
    char lines[AHEAD_MAX * GIT_OID + 1];
    size_t length = 0;
    if (x->ahead > AHEAD_MAX / 2)
        return 0;
    while (x->ahead < AHEAD_MAX && x->asked < x->list.count) {
        const struct tree_entry *e = &x->list.entries[x->asked++];
        if (e->kind == TAR_FOLDER)
            continue;
        length += (size_t)snprintf(lines + length, sizeof(lines) - length, "%s\n", e->id);
        x->ahead++;
    }
    return git_process_write(x->cat, (struct str){lines, length}, err);
}

/* "ID blob SIZE" of the entry whose turn it is. */
static int read_head(struct export *x, const struct tree_entry *e, struct err *err)
{
    char want[GIT_OID + 40];
    struct str line;
    (void)snprintf(want, sizeof(want), "%s blob %lld", e->id, (long long)e->size);
    int r = git_process_until(x->cat, '\n', 200, &line, err);
    if (r < 0)
        return -1;
    if (r != 0 || !str_is(line, want))
        return FAIL(err, E_CORRUPT, "the repository lacks the content of '%s'",
                    tree_path(&x->list, e));
    x->ahead--;
    return 0;
}

static int copy_content(struct export *x, const struct tree_entry *e, struct err *err)
{
    struct str piece;
    for (int64_t left = e->size; left > 0; left -= (int64_t)piece.length) {
        if (git_process_some(x->cat, (size_t)left, &piece, err) < 0)
            return -1;
        (void)buf_add_str(&x->out, piece); /* no ceiling: at most one read above the mark */
        if (flush_when_full(x, err) < 0)
            return -1;
    }
    return 0;
}

static int skip_line_end(struct export *x, struct err *err)
{
    struct str end;
    return git_process_some(x->cat, 1, &end, err);
}

static struct tar_entry entry_header(const struct export *x, const struct tree_entry *e)
{
    return (struct tar_entry){.kind = e->kind,
                              .path = str_of(tree_path(&x->list, e)),
                              .size = e->kind == TAR_LINK ? 0 : e->size,
                              .mtime = x->mtime};
}

static int write_link(struct export *x, const struct tree_entry *e, struct err *err)
{
    AUTO_BUF target = BUF_INIT(TREE_TARGET_MAX);
    struct tar_entry header = entry_header(x, e);
    struct str piece;
    for (int64_t left = e->size; left > 0; left -= (int64_t)piece.length) {
        if (git_process_some(x->cat, (size_t)left, &piece, err) < 0)
            return -1;
        (void)buf_add_str(&target, piece); /* its size was checked with the list */
    }
    header.target = buf_str(&target);
    if (header.target.length == 0 || memchr(header.target.data, '\0', header.target.length))
        return FAIL(err, E_ARCHIVE_PATH, "link '%s' has no valid target", tree_path(&x->list, e));
    tar_header(&x->out, &header);
    return skip_line_end(x, err);
}

static int write_entry(struct export *x, const struct tree_entry *e, struct err *err)
{
    struct tar_entry header = entry_header(x, e);
    if (e->kind == TAR_FOLDER) {
        tar_header(&x->out, &header);
        return 0;
    }
    if (ask_ahead(x, err) < 0 || read_head(x, e, err) < 0)
        return -1;
    if (e->kind == TAR_LINK)
        return write_link(x, e, err);
    tar_header(&x->out, &header);
    if (copy_content(x, e, err) < 0)
        return -1;
    tar_pad(&x->out, e->size);
    return skip_line_end(x, err);
}

static int write_all(struct export *x, const char *dir, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "cat-file");
    git_arg(&call, "--batch");
    if (git_process_start(&call, EXPORT_MS, &x->cat, err) < 0)
        return -1;
    for (size_t i = 0; i < x->list.count; i++)
        if (write_entry(x, &x->list.entries[i], err) < 0 || flush_when_full(x, err) < 0)
            return -1;
    tar_end(&x->out);
    return flush(x, err);
}

static int read_date(const char *dir, const char *commit, int64_t *ret_date, struct err *err)
{
    size_t absent;
    struct repo_commit found;
    int r = repo_commits(dir, NULL, &commit, 1, &found, &absent, err);
    if (r == REPO_ABSENT)
        return FAIL(err, E_NOT_FOUND, "commit '%s' does not exist", commit);
    if (r < 0)
        return -1;
    *ret_date = found.date < TAR_TIME_MAX ? found.date : TAR_TIME_MAX;
    return 0;
}

int git_export(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    const char *commit = json_text(ask->args, "commit");
    struct export x = {.fd = ask->fd};
    if (repo_open(ask, &dir, err) < 0 || repo_check_commit(commit, "the commit", err) < 0)
        return -1;
    int flags = fcntl(x.fd, F_GETFL);
    if (flags < 0 || fcntl(x.fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return FAIL_SYS(err, "cannot set up the fd of the export");
    int result = read_date(dir, commit, &x.mtime, err);
    if (result == 0)
        result = tree_list_read(dir, commit, &x.list, err);
    if (result == 0)
        result = write_all(&x, dir, err);
    if (result == 0) {
        *ret_reply = json_object();
        json_put_int(*ret_reply, "files", (int64_t)x.list.files);
        json_put_int(*ret_reply, "bytes", x.bytes);
    }
    export_done(&x);
    return result;
}
