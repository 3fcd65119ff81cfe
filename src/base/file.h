/* Whole small files, and paths that come from outside. Blocking. Any thread. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

/* Read at most `ceiling` bytes; E_NOT_FOUND when absent, E_TOO_LARGE past the ceiling. */
int file_read(const char *path, size_t ceiling, struct buf *ret_content,
              struct err *err) MUST_CHECK;
int file_read_fd(int fd, size_t ceiling, struct buf *ret_content, struct err *err) MUST_CHECK;
/* Write a temporary file beside it, fsync, rename over, fsync the folder. */
int file_write(const char *path, struct str content, mode_t mode, struct err *err) MUST_CHECK;
/* mkdir -p; an existing folder is fine and keeps its mode. */
int file_make_dirs(const char *path, mode_t mode, struct err *err) MUST_CHECK;
/* Remove a tree without following links or crossing mounts; absent is fine. */
int file_remove_tree(const char *path, struct err *err) MUST_CHECK;
/* The same in parts: removes at most *budget (> 0) files and folders and counts it down. 0 left:
 * something of the tree may be there still, call it again. */
int file_remove_some(const char *path, size_t *budget, struct err *err) MUST_CHECK;
bool file_exists(const char *path);
/* openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); a path that leaves `dir`
 * or meets a link is E_PATH_ESCAPES, an absent one E_NOT_FOUND. Adds O_CLOEXEC. */
int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd,
                      struct err *err) MUST_CHECK;
