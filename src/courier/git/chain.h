/* Inside the folder: merging commits without a work tree, two at a time and one onto another.
 *
 * struct merger owns a quarantine (an object folder in scratch, where everything new goes) and the
 * resident merge-tree. struct chain is a result so far: a base, with branches merged onto it in
 * order. A merge commit is written by us: author and committer are fixed, its date is that of the
 * newest input so far, so equal inputs give an equal commit. Pool threads. */
#pragma once
#include "courier/git/merge.h"

#define TICKS_MAX 100
#define RESOLUTIONS_MAX 20
#define RESOLUTION_SIDES_MAX 8
#define STEPS_MAX (TICKS_MAX + RESOLUTIONS_MAX) /* resolutions are merged before the ticks */

struct tick {
    const char *branch; /* borrowed from the request, as the others */
    const char *tip;
    const char *good;    /* the tip that was merged the last time, or NULL */
    const json_t *sides; /* of a resolution: [{"branch","tip"}] that it merges; else NULL */
    int64_t date;        /* the tip's, seconds */
};
/* [{"branch","tip","good"}], at most TICKS_MAX; names and ids are checked. */
int ticks_parse(const json_t *list, struct tick ret_ticks[TICKS_MAX], size_t *ret_count,
                struct err *err) MUST_CHECK;
/* Is it a resolution that merges this branch? */
bool tick_resolves(const struct tick *t, const char *branch);
/* What the base is, and the dates of the ticks. E_BRANCH_UNKNOWN names who is absent. `also`: a
 * commit that may be in the folder `objects` as well; REPO_ABSENT when it exists nowhere. Both may
 * be NULL. */
struct ticks_ask {
    const char *dir, *trunk, *base;
    const char *objects, *also;
};
int ticks_read(const struct ticks_ask *ask, struct tick *ticks, size_t count,
               struct repo_commit *ret_base, struct err *err) MUST_CHECK;

struct merger {
    const char *dir;
    const struct git_store *store;
    char *quarantine;            /* heap */
    struct git_process *process; /* NULL: not started, or ended by what shares no history */
    int64_t started_us;          /* when it was */
    struct git_process *reader;  /* of files: conflict.c; NULL: not started */
};
/* quarantine: one that exists (taken), or NULL: a fresh one. */
int merger_init(struct merger *m, const char *dir, const struct git_store *store, char *quarantine,
                struct err *err) MUST_CHECK;
/* The quarantine goes to the trash, unless it was taken out before. */
void merger_done(struct merger *m);
/* Everything in the quarantine becomes one pack of the repository; git fsyncs it. */
int merger_keep(const struct merger *m, struct err *err) MUST_CHECK;
/* answer: initialised here; to share no history is a conflict, with this text. */
#define MERGE_NO_HISTORY "they share no history"
int merger_ask(struct merger *m, const char *ours, const char *theirs,
               struct merge_answer *ret_answer, struct err *err) MUST_CHECK;

struct chain {
    const char *trunk;  /* its name, for the messages of merges */
    char tip[GIT_OID];  /* the result so far */
    char tree[GIT_OID]; /* its tree */
    int64_t date;       /* the newest of the inputs so far, seconds */
};
void chain_begin(struct chain *c, const char *trunk, const char *base,
                 const struct repo_commit *commit);
/* Merge one more: 0, CHAIN_CONTAINED (all of it is there already), CHAIN_CONFLICT (the chain is as
 * it was), -1. */
#define CHAIN_CONTAINED 1
#define CHAIN_CONFLICT 2
int chain_add(struct chain *c, struct merger *m, const struct tick *t,
              struct merge_answer *ret_answer, struct err *err) MUST_CHECK;
/* A merge commit of ours: the tree of the chain, with its tip and `other` as parents, in whose
 * order they are merged. It becomes the tip. */
int chain_commit(struct chain *c, struct merger *m, const char *other, const char *message,
                 struct err *err) MUST_CHECK;
