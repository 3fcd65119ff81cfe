/* Inside the folder: a resident `git merge-tree`, its answers, and objects written by hand.
 *
 * One process does all merges of an integration. `merge-tree --stdin` answers line by line, but in
 * 2.39 it does so through a full stdio buffer, so it runs under coreutils' stdbuf, which makes the
 * buffer none: 5 ms a merge become 1-2. Pool threads. */
#pragma once
#include "base/buf.h"
#include "courier/git/repo.h"

#define MERGE_FILES_MAX 200 /* conflicted paths that are kept; the rest is counted */

enum merge_field {
    MERGE_STATUS,
    MERGE_TREE,
    MERGE_FILE,
    MERGE_COUNT,
    MERGE_PATH,
    MERGE_KIND,
    MERGE_TEXT
};
struct merge_answer {
    enum merge_field next; /* the field that comes next */
    int64_t paths;         /* MERGE_PATH: so many of them */
    bool is_conflict_text; /* MERGE_TEXT: of a message worth keeping */
    bool clean;
    char tree[GIT_OID]; /* of a clean merge */
    json_t *files;      /* conflicted paths, none twice */
    size_t file_count;  /* all of them */
    struct buf file;    /* the path told last, as it is */
    struct buf text;    /* git's "CONFLICT ..." lines */
};
void merge_answer_init(struct merge_answer *a);
void merge_answer_done(struct merge_answer *a);
/* The next field of an answer (what stands before a NUL). MERGE_COMPLETE after the last one. */
#define MERGE_COMPLETE 1
int merge_answer_feed(struct merge_answer *a, struct str field, struct err *err) MUST_CHECK;
static inline void merge_answer_donep(struct merge_answer *a)
{
    merge_answer_done(a);
}
#define AUTO_MERGE __attribute__((cleanup(merge_answer_donep))) struct merge_answer

/* The process; new objects go to the folder `objects`, where it also looks for them. */
int merge_start(const char *dir, const char *objects, struct git_process **ret_process,
                struct err *err) MUST_CHECK;
/* Merge two commits. MERGE_UNRELATED: they share no history (the process has ended). */
#define MERGE_UNRELATED 2
int merge_ask(struct git_process *p, const char *ours, const char *theirs,
              struct merge_answer *answer, struct err *err) MUST_CHECK;
/* Write a loose object below `objects`, as git does (git hash-object -w), without fsync. */
int object_write(const char *objects, const char *kind, struct str content, char ret_id[GIT_OID],
                 struct err *err) MUST_CHECK;
