/* Inside the folder: what a conflict says, who conflicts with whom, and since when. Pool threads.
 */
#pragma once
#include "courier/git/chain.h"

/* CONFLICT: {"files": [{"path", "hunks", "lines": "88-97, 120" or ""}] (at most 5), "file_count",
 * "hunks" (of those files), "text": git's own lines}. Lines are those of the file as it would be
 * merged, with the first side's part of each conflict; 0 hunks: it is not the lines that conflict
 * (deleted on one side, a binary or a huge file), or its name is no UTF-8. "text" is
 * MERGE_NO_HISTORY when they share none. */
json_t *conflict_tell(struct merger *m, const struct merge_answer *answer);
/* How many hunks with conflict markers a file of a commit has; 0: none, or there is no such file,
 * or one that is too large for git to mark. */
int conflict_hunks(struct merger *m, const char *commit, const char *path, int64_t *ret_hunks,
                   struct err *err) MUST_CHECK;
/* Counts the hunks of a file with conflict markers, fed in pieces of any size. */
struct hunks {
    enum { HUNKS_PLAIN, HUNKS_OURS, HUNKS_THEIRS } part;
    char head[8]; /* the first bytes of the line */
    size_t length;
    int64_t line, from; /* lines of the first side so far; where the open hunk begins */
    int64_t count;
    struct buf lines;
};
void hunks_init(struct hunks *h);
void hunks_feed(struct hunks *h, struct str piece);
void hunks_done(struct hunks *h);

/* Two commits alone. What was asked before is remembered: the answer depends on nothing else. */
struct pairs {
    struct merger *merger;
    struct map *cache; /* may be NULL */
    int64_t asked;     /* merges made */
};
/* *ret_conflict: NULL when they merge. */
int pairs_ask(struct pairs *p, const char *a, const char *b, json_t **ret_conflict,
              struct err *err) MUST_CHECK;
/* Only whether; *ret_clean. */
int pairs_clean(struct pairs *p, const char *a, const char *b, bool *ret_clean,
                struct err *err) MUST_CHECK;
/* The first commit of each side that conflicts: [{"id","author","at","subject"}] of a, then of b;
 * along first parents. [] when it cannot be told: it lies further back than one looks. Only of two
 * that conflict and share history. Remembered, too. */
int pairs_origin(struct pairs *p, const char *a, const char *b, json_t **ret_commits,
                 struct err *err) MUST_CHECK;

/* Why branch k cannot join trunk and those of the branches before it that are `in`: *ret_why is
 * {"why": "trunk"|"pair"|"together", "against": [names]}: trunk alone; each branch that conflicts
 * with it alone; or the smallest set found of which no one conflicts alone ([]: none was found). */
struct explain {
    struct pairs *pairs;
    const char *base;          /* trunk's tip */
    const struct chain *start; /* the chain of nothing but that */
    const struct tick *ticks;
    const bool *in;
    size_t count; /* of ticks */
    size_t k;
};
int explain(const struct explain *x, json_t **ret_why, struct err *err) MUST_CHECK;
