/* See tar.h. Paths that are not ASCII and need a pax header get hdrcharset=BINARY with it: bytes
 * are bytes, whatever the locale of the reader. */
#include "courier/git/tar.h"
#include <stdio.h>
#include <string.h>
#include "base/check.h"
#include "base/str.h"

struct ustar {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[8]; /* "ustar\0" "00" */
    char user[32], group[32];
    char major[8], minor[8];
    char prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a tar header is one block");

static void octal(char *field, size_t width, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%0*llo", (int)width - 1, (unsigned long long)value);
    ASSERT(strlen(text) == width - 1);
    memcpy(field, text, width);
}

static void write_header(struct buf *out, struct ustar *h)
{
    unsigned sum = 0;
    memcpy(h->magic,
           "ustar\0"
           "00",
           8);
    octal(h->uid, sizeof(h->uid), 0);
    octal(h->gid, sizeof(h->gid), 0);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((const unsigned char *)h)[i];
    (void)snprintf(h->checksum, sizeof(h->checksum), "%06o", sum & 0777777);
    h->checksum[7] = ' ';
    (void)buf_add(out, h, sizeof(*h));
}

/* Put the path into name, or name and prefix. false: it does not fit. */
static bool place_path(struct ustar *h, struct str path)
{
    if (path.length <= sizeof(h->name)) {
        memcpy(h->name, path.data, path.length);
        return true;
    }
    size_t most = path.length - 1 < sizeof(h->prefix) ? path.length - 1 : sizeof(h->prefix);
    const char *slash = memrchr(path.data, '/', most + 1);
    if (!slash || slash == path.data || (size_t)(slash - path.data) > sizeof(h->prefix))
        return false;
    size_t prefix = (size_t)(slash - path.data);
    size_t name = path.length - prefix - 1;
    if (name > sizeof(h->name) || name == 0)
        return false;
    memcpy(h->prefix, path.data, prefix);
    memcpy(h->name, slash + 1, name);
    return true;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void pax_record(struct buf *out, const char *key, struct str value)
{
    size_t rest = 1 + strlen(key) + 1 + value.length + 1;
    size_t length = rest + 1;
    for (;;) {
        char digits[24];
        size_t wanted = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length);
        if (wanted == length)
            break;
        length = wanted;
    }
    (void)buf_add_format(out, "%zu %s=", length, key);
    (void)buf_add_str(out, value);
    (void)buf_add_char(out, '\n');
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

static void write_pax(struct buf *out, const struct tar_entry *e, bool path, bool target)
{
    AUTO_BUF records = BUF_INIT(0);
    struct ustar h = {.name = "././@PaxHeader", .type = 'x'};
    if (!is_ascii(e->path) || !is_ascii(e->target))
        pax_record(&records, "hdrcharset", STR("BINARY"));
    if (path)
        pax_record(&records, "path", e->path);
    if (target)
        pax_record(&records, "linkpath", e->target);
    octal(h.mode, sizeof(h.mode), 0644);
    octal(h.size, sizeof(h.size), (int64_t)records.length);
    octal(h.mtime, sizeof(h.mtime), e->mtime);
    write_header(out, &h);
    (void)buf_add_str(out, buf_str(&records));
    tar_pad(out, (int64_t)records.length);
}

void tar_header(struct buf *out, const struct tar_entry *e)
{
    static const struct {
        char type;
        int mode;
    } kinds[] = {[TAR_FILE] = {'0', 0644},
                 [TAR_EXECUTABLE] = {'0', 0755},
                 [TAR_LINK] = {'2', 0777},
                 [TAR_FOLDER] = {'5', 0755}};
    struct ustar h = {.type = kinds[e->kind].type};
    ASSERT(e->path.length > 0 && e->size >= 0 && e->mtime >= 0);
    bool path = !place_path(&h, e->path);
    bool target = e->target.length > sizeof(h.link);
    if (path || target)
        write_pax(out, e, path, target);
    if (path)
        memcpy(h.name, e->path.data, sizeof(h.name)); /* for readers that know no pax */
    size_t link = target ? sizeof(h.link) : e->target.length;
    if (link > 0)
        memcpy(h.link, e->target.data, link);
    octal(h.mode, sizeof(h.mode), kinds[e->kind].mode);
    octal(h.size, sizeof(h.size), e->size);
    octal(h.mtime, sizeof(h.mtime), e->mtime);
    write_header(out, &h);
}

void tar_pad(struct buf *out, int64_t size)
{
    static const char zeros[TAR_BLOCK];
    (void)buf_add(out, zeros, (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK));
}

void tar_end(struct buf *out)
{
    static const char zeros[2 * TAR_BLOCK];
    (void)buf_add(out, zeros, sizeof(zeros));
}
