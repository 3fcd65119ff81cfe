/* Inside the folder: the whole list of a commit's tree, checked. Pool threads. */
#pragma once
#include "base/buf.h"
#include "courier/git/repo.h"
#include "courier/git/tar.h"

#define TREE_ENTRIES_MAX 500000
#define TREE_BYTES_MAX (4ll << 30)
#define TREE_DEPTH_MAX 64
#define TREE_PATH_MAX 4096
#define TREE_TARGET_MAX 4095

struct tree_entry {
    char id[GIT_OID];
    enum tar_kind kind;
    int64_t size; /* of a file or link */
    size_t path;  /* offset of the NUL-terminated path in `paths` */
};
struct tree_list {
    struct tree_entry *entries; /* a folder before what is in it */
    size_t count;
    size_t files; /* files and links */
    int64_t bytes;
    struct buf paths;
};
void tree_list_done(struct tree_list *l);
/* Read the list until a limit is passed: E_REPO_TOO_LARGE; E_SUBMODULE_REFUSED; E_ARCHIVE_PATH for
 * a path that must not be written to a disk; E_NOT_FOUND: no such commit. */
int tree_list_read(const char *dir, const char *commit, struct tree_list *ret_list,
                   struct err *err) MUST_CHECK;
/* "MODE TYPE ID SIZE\tPATH", checked and added. For tests and the reader. */
int tree_list_add(struct tree_list *l, struct str line, struct err *err) MUST_CHECK;
const char *tree_path(const struct tree_list *l, const struct tree_entry *e);
/* May this relative path be written below a folder? No "", ".", "..", ".git", control bytes. */
bool tree_path_fits(struct str path);
