/* The resident merge-tree, and writing a loose object.
 *
 * An answer of merge-tree --stdin --name-only: clean? NUL tree NUL; when it is clean an empty
 * field ends it. Otherwise (path NUL)* NUL, then messages: count NUL (path NUL){count} kind NUL
 * text NUL; an empty count ends it. */
#include "courier/git/merge.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>
#include "base/json.h"
#include "base/str.h"

#define MERGE_TEXT_MAX 1024
#define MERGE_FIELD_MAX 65536
#define MERGE_MS 120000 /* one integration */

/* --- answers -------------------------------------------------------------------------------- */

void merge_answer_init(struct merge_answer *a)
{
    *a = (struct merge_answer){
        .files = json_array(), .file = BUF_INIT(MERGE_FIELD_MAX), .text = BUF_INIT(MERGE_TEXT_MAX)};
}

void merge_answer_done(struct merge_answer *a)
{
    json_decref(a->files);
    buf_done(&a->file);
    buf_done(&a->text);
    *a = (struct merge_answer){0};
}

static int bad_answer(struct err *err)
{
    return FAIL(err, E_CORRUPT, "'git merge-tree' gave an answer that cannot be read");
}

static int feed_tree(struct merge_answer *a, struct str field, struct err *err)
{
    if (!str_is_commit(field))
        return bad_answer(err);
    (void)snprintf(a->tree, GIT_OID, "%.*s", (int)field.length, field.data);
    a->next = MERGE_FILE;
    return 0;
}

/* One line a stage: the same name several times. Compared as they are, not as JSON can say them. */
static void feed_file(struct merge_answer *a, struct str field)
{
    if (a->file_count > 0 && str_equal(buf_str(&a->file), field))
        return;
    buf_clear(&a->file);
    (void)buf_add_str(&a->file, field); /* what is too long for it is counted twice */
    if (a->file_count++ < MERGE_FILES_MAX)
        json_push(a->files, json_str_value(field));
}

static int feed_count(struct merge_answer *a, struct str field, struct err *err)
{
    if (str_to_int(field, 0, 1000000, "count of paths", &a->paths, err) < 0)
        return bad_answer(err);
    a->next = a->paths > 0 ? MERGE_PATH : MERGE_KIND;
    return 0;
}

static void feed_text(struct merge_answer *a, struct str field)
{
    if (a->is_conflict_text)
        (void)buf_add_str(&a->text, field); /* what does not fit any more is left out */
    a->next = MERGE_COUNT;
}

int merge_answer_feed(struct merge_answer *a, struct str field, struct err *err)
{
    switch (a->next) {
    case MERGE_STATUS:
        a->clean = str_is(field, "1");
        a->next = MERGE_TREE;
        return a->clean || str_is(field, "0") ? 0 : bad_answer(err);
    case MERGE_TREE:
        return feed_tree(a, field, err);
    case MERGE_FILE:
        if (field.length > 0)
            feed_file(a, field);
        else if (a->clean)
            return MERGE_COMPLETE;
        else
            a->next = MERGE_COUNT;
        return 0;
    case MERGE_COUNT:
        return field.length == 0 ? MERGE_COMPLETE : feed_count(a, field, err);
    case MERGE_PATH:
        a->next = --a->paths > 0 ? MERGE_PATH : MERGE_KIND;
        return 0;
    case MERGE_KIND:
        a->is_conflict_text = str_starts(field, "CONFLICT");
        a->next = MERGE_TEXT;
        return 0;
    case MERGE_TEXT:
        feed_text(a, field);
        return 0;
    }
    return bad_answer(err);
}

/* --- the process ---------------------------------------------------------------------------- */

/* The settings that an integration's identity includes. */
static void merge_settings(struct git_call *call)
{
    static const char *const settings[] = {
        "merge.renames=true",        "merge.renameLimit=7000",  "merge.directoryRenames=conflict",
        "merge.conflictStyle=merge", "merge.renormalize=false", "diff.renames=true",
        "diff.renameLimit=7000",     "diff.algorithm=default",  "core.fsync=none",
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        git_config(call, settings[i]);
}

int merge_start(const char *dir, const char *objects, struct git_process **ret_process,
                struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_unbuffered(&call);
    merge_settings(&call);
    git_verb(&call, "merge-tree");
    git_arg(&call, "--write-tree");
    git_arg(&call, "--stdin");
    git_arg(&call, "--name-only");
    git_quarantine(&call, dir, objects);
    return git_process_start(&call, MERGE_MS, ret_process, err);
}

/* It dies when two commits share no history, and for any real fault. */
static int merge_ended(struct git_process *p, struct err *err)
{
    struct git_outcome outcome;
    if (git_process_wait(p, &outcome, err) < 0)
        return -1;
    if (strstr(outcome.text, "unrelated histories"))
        return MERGE_UNRELATED;
    return FAIL(err, E_SYSTEM, "'git merge-tree' exited %d: %s", outcome.exit_code, outcome.text);
}

int merge_ask(struct git_process *p, const char *ours, const char *theirs,
              struct merge_answer *answer, struct err *err)
{
    char line[2 * GIT_OID + 1];
    struct str field;
    (void)snprintf(line, sizeof(line), "%s %s\n", ours, theirs);
    if (git_process_write(p, str_of(line), err) < 0)
        return -1;
    for (;;) {
        int r = git_process_until(p, '\0', MERGE_FIELD_MAX, &field, err);
        if (r == GIT_PROCESS_END)
            return merge_ended(p, err);
        if (r < 0)
            return -1;
        r = merge_answer_feed(answer, field, err);
        if (r != 0)
            return r == MERGE_COMPLETE ? 0 : -1;
    }
}

/* --- objects -------------------------------------------------------------------------------- */

static void object_id(struct str whole, char id[GIT_OID])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(whole.data, whole.length, hash, &length, EVP_sha1(), NULL) != 1 || length != 20)
        abort(); /* OpenSSL without memory */
    for (size_t i = 0; i < 20; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", hash[i]);
}

static int store_loose(const char *objects, const char *id, struct str packed, struct err *err)
{
    AUTO_FREE char *folder = mem_format("%s/%.2s", objects, id);
    AUTO_FREE char *path = mem_format("%s/%s", folder, id + 2);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", folder);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0 && errno == EEXIST)
        return 0; /* the same object */
    if (fd < 0)
        return FAIL_SYS(err, "cannot make '%s'", path);
    ssize_t n = write(fd, packed.data, packed.length);
    if (n < 0 || (size_t)n != packed.length)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

int object_write(const char *objects, const char *kind, struct str content, char ret_id[GIT_OID],
                 struct err *err)
{
    AUTO_BUF whole = BUF_INIT(1u << 20);
    char id[GIT_OID];
    (void)buf_add_format(&whole, "%s %zu", kind, content.length);
    (void)buf_add_char(&whole, '\0');
    (void)buf_add_str(&whole, content);
    if (whole.failed)
        return FAIL(err, E_TOO_LARGE, "a %s object is too large", kind);
    uLongf length = compressBound(whole.length);
    AUTO_FREE unsigned char *packed = mem_alloc(length);
    if (compress2(packed, &length, (const unsigned char *)whole.data, whole.length, 1) != Z_OK)
        return FAIL(err, E_INTERNAL, "cannot compress a %s object", kind);
    object_id(buf_str(&whole), id);
    if (store_loose(objects, id, (struct str){(const char *)packed, length}, err) < 0)
        return -1;
    (void)snprintf(ret_id, GIT_OID, "%s", id);
    return 0;
}
