/* Inside the folder: finding a repository and reading its refs. Pool threads. */
#pragma once
#include "base/map.h"
#include "courier/git/git.h"
#include "courier/git/process.h"

#define GIT_OID (40 + 1)
#define GIT_REFS_A_CALL 500 /* ref names given as arguments of one git call */

/* Forget everything; the map stays. */
void git_cache_clear(struct map *cache);
/* cache.c. Takes value (heap). A full cache is emptied first; NULL: nothing is remembered. */
#define GIT_CACHE_MAX 20000 /* entries */
void git_cache_put(struct map *cache, const char *key, void *value);
/* The repository of args' "app": heap path; E_NAME_INVALID, E_NOT_FOUND. */
int repo_open(const struct git_ask *ask, char **ret_dir, struct err *err) MUST_CHECK;
/* A path below `folder` that nobody else uses: heap; nothing is made. */
char *repo_fresh_path(const char *folder, const char *what);
/* Bytes of a repository's packs: nearly all there is of it, and quick to sum. */
int64_t repo_pack_bytes(const char *dir);
/* Is there room for what would grow it? *ret_room: for so many bytes. E_DISK_FULL, E_REPO_TOO_LARGE
 */
int repo_room(const struct git_store *gs, const char *dir, int64_t *ret_room,
              struct err *err) MUST_CHECK;
/* sweep.c: packs that are being written there (names to nothing; map_done frees them), and the
 * removal of those that came since: of a call that failed, while no other one writes packs there.
 */
/* Is git_upkeep under way, of whichever repository? It writes packs. */
bool git_upkeep_runs(void);
void partial_packs_note(const char *dir, struct map *ret_there);
void partial_packs_remove(const char *dir, const struct map *there);
/* Branch names are checked here: E_REF_INVALID. */
int repo_check_branch(const char *name, struct err *err) MUST_CHECK;
int repo_check_commit(const char *commit, const char *what, struct err *err) MUST_CHECK;
/* Tips of exactly these full refs into `ret_tips` (ref to heap text of 40 digits); absent refs are
 * absent there. The map is initialised by the caller and freed with repo_tips_done. */
int repo_tips(const char *dir, const char *const *refs, size_t count, struct map *ret_tips,
              struct err *err) MUST_CHECK;
void repo_tips_done(struct map *tips);
/* Tree and committer date (seconds) of commits; REPO_ABSENT and *ret_absent (an index) when one
 * does not exist or is no commit. `objects`: a quarantine to look into as well, or NULL. */
#define REPO_ABSENT 1
struct repo_commit {
    char tree[GIT_OID];
    int64_t date;
};
int repo_commits(const char *dir, const char *objects, const char *const *commits, size_t count,
                 struct repo_commit *ret_commits, size_t *ret_absent, struct err *err) MUST_CHECK;
/* 0: `a` is `b` or an ancestor of it; REPO_NO_ANCESTOR. objects as above. */
#define REPO_NO_ANCESTOR 2
int repo_is_ancestor(const char *dir, const char *objects, const char *a, const char *b,
                     struct err *err) MUST_CHECK;
/* Compare-and-swap of full refs, all of them or none; as one of them below. */
struct repo_move {
    const char *ref, *to, *expect;
};
int repo_move_refs(const char *dir, const struct repo_move *moves, size_t count,
                   struct err *err) MUST_CHECK;
/* Compare-and-swap of one full ref. `to` NULL deletes; `expect` NULL: whatever it was, GIT_ZERO:
 * must be absent. E_EXISTS, E_REF_CHANGED, E_BRANCH_UNKNOWN (no such commit). */
int repo_move_ref(const char *dir, const char *ref, const char *to, const char *expect,
                  struct err *err) MUST_CHECK;
