/* Volumes: an ext4 of fixed size in a sparse file, loop-mounted, so that what is written in it can
 * neither fill the disk nor slow others' fsync (direct I/O, no journal). A build's volume is thrown
 * away; a cache's is kept. Loop devices detach by themselves after the last unmount. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "io/child.h"

/* Make the sparse file and start mkfs on it; done runs on the loop. */
int volume_make(const char *image, int64_t bytes,
                void (*done)(void *context, const struct child_result *result), void *context,
                struct child **ret_child, struct err *err) MUST_CHECK;
/* Mount an image at an existing folder: a few milliseconds. Loop thread. */
int volume_mount(const char *image, const char *folder, struct err *err) MUST_CHECK;
/* Unmount and forget what was not written yet: the content is lost. Blocking; any thread that was
 * made after the host's mount namespace. Not mounted is fine. */
void volume_drop(const char *folder);
/* Unmount after writing everything. Blocking, as above. */
int volume_unmount(const char *folder, struct err *err) MUST_CHECK;
/* Free bytes and inodes of a mounted volume. */
int volume_room(const char *folder, int64_t *ret_bytes, int64_t *ret_files,
                struct err *err) MUST_CHECK;
/* Detach from their mounts, in whatever mount namespace a dead process of ours left them, the loop
 * devices whose image lies below `folder`. Blocking; at start only. */
void volume_release_all(const char *folder);
