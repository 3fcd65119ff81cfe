/* What a conflict says: its files, and where in them. The tree that merge-tree leaves has the files
 * with their markers in it, so they are read from there. */
#include "courier/git/conflict.h"
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"

#define FILES_MAX 5                /* of one conflict; hundreds of them go into one message */
#define FILE_BYTES_MAX (8ll << 20) /* a larger one has no hunks */
#define LINES_MAX 200              /* bytes of "88-97, 120" */
#define READ_MS 120000

/* --- hunks ---------------------------------------------------------------------------------- */

void hunks_init(struct hunks *h)
{
    *h = (struct hunks){.lines = BUF_INIT(LINES_MAX)};
}

void hunks_done(struct hunks *h)
{
    buf_done(&h->lines);
}

static void note_range(struct hunks *h)
{
    int64_t from = h->from + 1, to = h->line;
    h->count++;
    if (h->lines.failed)
        return;
    if (to > from)
        (void)buf_add_format(&h->lines, "%s%lld-%lld", h->lines.length ? ", " : "", (long long)from,
                             (long long)to);
    else
        (void)buf_add_format(&h->lines, "%s%lld", h->lines.length ? ", " : "", (long long)from);
}

static bool is_marker(const struct hunks *h, char sign)
{
    for (size_t i = 0; i < 7; i++)
        if (h->head[i] != sign)
            return false;
    return sign == '=' ? h->length == 7 : h->length > 7 && h->head[7] == ' ';
}

static void end_line(struct hunks *h)
{
    if (h->part == HUNKS_PLAIN && is_marker(h, '<')) {
        h->part = HUNKS_OURS;
        h->from = h->line;
    } else if (h->part == HUNKS_OURS && is_marker(h, '=')) {
        h->part = HUNKS_THEIRS;
        note_range(h);
    } else if (h->part == HUNKS_THEIRS && is_marker(h, '>')) {
        h->part = HUNKS_PLAIN;
    } else if (h->part != HUNKS_THEIRS) {
        h->line++;
    }
    h->length = 0;
}

void hunks_feed(struct hunks *h, struct str piece)
{
    for (size_t i = 0; i < piece.length; i++) {
        char c = piece.data[i];
        if (c == '\n') {
            end_line(h);
            continue;
        }
        if (c == '\r')
            continue; /* of a file with such ends */
        if (h->length < sizeof(h->head))
            h->head[h->length] = c;
        h->length++;
    }
}

/* --- reading -------------------------------------------------------------------------------- */

static int reader_start(struct merger *m, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, m->dir);
    git_verb(&call, "cat-file");
    git_arg(&call, "--batch");
    git_arg(&call, "-z"); /* a path may hold a line end */
    git_quarantine(&call, m->dir, m->quarantine);
    return git_process_start(&call, READ_MS, &m->reader, err);
}

/* "ID TYPE SIZE", or "WHAT missing": then *ret_size is -1. */
static int read_head(struct git_process *p, int64_t *ret_size, struct err *err)
{
    struct str line;
    *ret_size = -1;
    int r = git_process_until(p, '\n', 65536, &line, err);
    if (r != 0)
        return r < 0 ? -1 : FAIL(err, E_CORRUPT, "'git cat-file' ended early");
    if (str_ends(line, " missing"))
        return 0;
    (void)str_cut(&line, ' ');
    if (!str_is(str_cut(&line, ' '), "blob"))
        return FAIL(err, E_NOT_FOUND, "it is no file"); /* a submodule, or a folder by now */
    return str_to_int(line, 0, INT64_MAX, "size of a file", ret_size, err);
}

static int read_hunks(struct merger *m, const char *tree, const char *path, struct hunks *h,
                      struct err *err)
{
    AUTO_FREE char *name = mem_format("%s:%s", tree, path);
    int64_t size = -1;
    if ((!m->reader && reader_start(m, err) < 0) ||
        git_process_write(m->reader, (struct str){name, strlen(name) + 1}, err) < 0 ||
        read_head(m->reader, &size, err) < 0)
        return -1;
    if (size > FILE_BYTES_MAX)
        return FAIL(err, E_TOO_LARGE, "it is too large to be looked through");
    for (int64_t left = size + 1; size >= 0 && left > 0;) {
        struct str piece;
        if (git_process_some(m->reader, (size_t)left, &piece, err) < 0)
            return -1;
        left -= (int64_t)piece.length;
        hunks_feed(h, piece);
    }
    return 0;
}

/* Lines are nice to have: what cannot be read has none, and takes its reader with it. A path with a
 * line end is told over several lines when it is missing, so it is not asked for. */
static void count_hunks(struct merger *m, const char *tree, const char *path, struct hunks *h)
{
    struct err err = ERR_INIT;
    if (strchr(path, '\n') || read_hunks(m, tree, path, h, &err) == 0)
        return;
    git_process_free(TAKE(m->reader));
    hunks_done(h);
    hunks_init(h);
}

int conflict_hunks(struct merger *m, const char *commit, const char *path, int64_t *ret_hunks,
                   struct err *err)
{
    struct hunks h;
    *ret_hunks = 0;
    if (strchr(path, '\n'))
        return 0;
    hunks_init(&h);
    int r = read_hunks(m, commit, path, &h, err);
    if (r < 0)
        git_process_free(TAKE(m->reader)); /* somewhere within a file */
    if (r < 0 && (err->kind == E_NOT_FOUND || err->kind == E_TOO_LARGE)) { /* nobody marked it */
        *err = (struct err)ERR_INIT;
        r = 0;
    }
    *ret_hunks = h.count;
    hunks_done(&h);
    return r;
}

/* --- the whole ------------------------------------------------------------------------------ */

json_t *conflict_tell(struct merger *m, const struct merge_answer *answer)
{
    json_t *conflict = json_object();
    json_t *files = json_array();
    int64_t hunks = 0;
    size_t i;
    json_t *file;
    json_put(conflict, "files", files);
    json_array_foreach(answer->files, i, file)
    {
        struct hunks h;
        if (i >= FILES_MAX)
            break;
        hunks_init(&h);
        count_hunks(m, answer->tree, json_string_value(file), &h);
        json_t *row = json_object();
        json_put(row, "path", json_incref(file));
        json_put_int(row, "hunks", h.count);
        json_put_str(row, "lines", buf_str(&h.lines));
        json_push(files, row);
        hunks += h.count;
        hunks_done(&h);
    }
    json_put_int(conflict, "file_count", (int64_t)answer->file_count);
    json_put_int(conflict, "hunks", hunks);
    json_put_str(conflict, "text", str_trim(buf_str(&answer->text)));
    return conflict;
}
