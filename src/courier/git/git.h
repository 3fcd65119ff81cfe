/* The courier's git: repositories of the apps, branches, integration, export and hosting.
 *
 * A verb is one blocking function for a pool thread (git_work_fn): arguments in, reply out. What
 * it runs is the git program, built by call.h and run by process.h. Hosting (smart HTTP) lives on
 * the loop. Repositories are bare, at ROOT/APP.git; ROOT/.scratch holds quarantines and half-made
 * repositories, ROOT/.trash deleted ones. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/map.h"
#include "courier/git/progress.h"
#include "io/message.h"

struct git_store {
    char *root;
    char *scratch;
    char *trash;
    int64_t repo_max;     /* bytes of a repository past which it takes no more: 20 GiB */
    int64_t disk_reserve; /* bytes that a push or a fetch leaves free on the disk: 0 */
};
/* Makes the folders (0700). */
int git_store_open(const char *root, struct git_store *ret_store, struct err *err) MUST_CHECK;
void git_store_done(struct git_store *gs);

/* What a verb gets. The cache is handed over for the time of the call: nobody else sees it. */
struct git_ask {
    const struct git_store *store;
    const json_t *args;            /* checked against its table in wire/courier.h */
    int fd;                        /* of export, or what we are outside; borrowed; -1 */
    struct map *cache;             /* of those that have one (job.c); may be NULL */
    struct git_progress *progress; /* of those that take long; may be NULL */
};
typedef int git_work_fn(const struct git_ask *ask, json_t **ret_reply, struct err *err);
git_work_fn git_repo_create;
git_work_fn git_repo_delete;
git_work_fn git_repo_df;
git_work_fn git_branch_list;
git_work_fn git_branch_tips;
git_work_fn git_branch_news;
git_work_fn git_branch_touching;
git_work_fn git_branch_create;
git_work_fn git_branch_delete;
git_work_fn git_commit_log;
git_work_fn git_integrate;
git_work_fn git_merge_facts;
git_work_fn git_resolve_open;
git_work_fn git_resolve_fold;
git_work_fn git_resolve_states;
git_work_fn git_remote_look;
git_work_fn git_remote_fetch;
git_work_fn git_ref_land;
git_work_fn git_ref_publish;
git_work_fn git_ref_retain;
git_work_fn git_file_read;
git_work_fn git_export;
/* Upkeep of one repository (args: {"app", "repack": none|geometric|full}): commit-graph, packs. */
git_work_fn git_upkeep;
/* {"start": true}: remove what an earlier process left half-made, before anything else runs.
 * Otherwise: remove what lies in the trash, and what is half-made and nobody came back for. */
git_work_fn git_sweep;
/* The cache of one app: strings to heap values, all of them derivable. */
void git_cache_free(struct map *cache);

/* How integrations are made; a new way gets a new name: it stands in the provenance of artifacts.
 */
#define GIT_MERGE_RULES "merge-tree ort 1"
/* "2.39.5": heap. Blocking; at start. */
int git_version(char **ret_version, struct err *err) MUST_CHECK;

/* Smart HTTP on a listening fd. Loop thread. */
struct git_hosting_options {
    const struct git_store *store;
    struct channel *(*core)(void *context); /* NULL while core is away */
    /* After a push that moved refs: [{"ref","old","new"}], borrowed. */
    void (*on_pushed)(void *context, const char *app, const char *user, json_t *refs);
    void *context;
    int64_t push_max; /* bytes of one push; 0: 1 GiB */
};
struct git_hosting;
struct git_hosting *git_hosting_new(int listen_fd, const struct git_hosting_options *options);
void git_hosting_free(struct git_hosting *h);
json_t *git_hosting_dump(const struct git_hosting *h);
