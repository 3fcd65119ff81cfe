/* A deterministic tar writer: ustar headers, and a pax header only where a path, a link target or
 * its bytes need one. No owner, no time but the one given, modes 0644, 0755 and 0777 of a link.
 * Only appends to a struct buf; the caller writes the content of files itself. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

#define TAR_BLOCK 512
#define TAR_TIME_MAX 077777777777 /* what a header holds: the year 2242 */
enum tar_kind { TAR_FILE, TAR_EXECUTABLE, TAR_LINK, TAR_FOLDER };
struct tar_entry {
    enum tar_kind kind;
    struct str path;   /* relative, without a slash at the end */
    struct str target; /* of a link */
    int64_t size;      /* of a file */
    int64_t mtime;     /* seconds */
};
void tar_header(struct buf *out, const struct tar_entry *e);
/* Zeros up to the end of the block after `size` bytes of content. */
void tar_pad(struct buf *out, int64_t size);
void tar_end(struct buf *out);
