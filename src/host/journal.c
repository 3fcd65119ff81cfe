/* Heads of core's journal, kept where core cannot change them: data_dir/host/journal-heads, root's,
 * one line "SEQ HASH" a head, appended and synced. Whoever cuts or rewrites the journal's tail
 * would have to be root to hide it. A torn last line (power cut) is skipped. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/host_priv.h"

#define HASH_HEX 64
#define TAIL_BYTES (256u << 10) /* holds more than 1000 lines */

static bool is_hash(struct str text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!strchr("0123456789abcdef", text.data[i]))
            return false;
    return text.length == HASH_HEX;
}

static int journal_open(const struct settings *s, int flags, struct err *err)
{
    AUTO_FREE char *path = settings_data(s, "host/journal-heads");
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : FAIL_SYS(err, "cannot open '%s'", path);
}

/* Does the file end within a line? Then the next one must not be glued to it. */
static bool is_torn(int fd)
{
    char last = '\n';
    off_t size = lseek(fd, 0, SEEK_END);
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int journal_head_append(const struct settings *s, int64_t seq, const char *hash, struct err *err)
{
    if (!is_hash(str_of(hash)))
        return FAIL(err, E_FIELD_INVALID, "'%s' is no hash", hash);
    AUTO_CLOSE int fd = journal_open(s, O_RDWR | O_CREAT | O_APPEND, err);
    if (fd < 0)
        return -1;
    AUTO_FREE char *line = mem_format("%s%lld %s\n", is_torn(fd) ? "\n" : "", (long long)seq, hash);
    size_t length = strlen(line);
    FAULT("journal.head");
    if (write(fd, line, length) != (ssize_t)length)
        return FAIL_SYS(err, "cannot append to the journal heads");
    return fdatasync(fd) == 0 ? 0 : FAIL_SYS(err, "cannot sync the journal heads");
}

static json_t *head_json(struct str line)
{
    struct err err = ERR_INIT;
    int64_t seq;
    struct str number = str_cut(&line, ' ');
    if (!line.data || !is_hash(line) || str_to_int(number, 1, INT64_MAX, "seq", &seq, &err) < 0)
        return NULL;
    json_t *head = json_object();
    json_put_int(head, "seq", seq);
    json_put_str(head, "hash", line);
    return head;
}

int journal_last(const struct settings *s, size_t most, json_t **ret_heads, struct err *err)
{
    AUTO_CLOSE int fd = journal_open(s, O_RDWR | O_CREAT, err);
    AUTO_BUF text = BUF_INIT(TAIL_BYTES + 1);
    if (fd < 0)
        return -1;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)TAIL_BYTES ? size - (off_t)TAIL_BYTES : 0;
    if (lseek(fd, from, SEEK_SET) < 0)
        return FAIL_SYS(err, "cannot read the journal heads");
    if (file_read_fd(fd, TAIL_BYTES, &text, err) < 0)
        return -1;
    json_t *heads = json_array();
    struct str rest = buf_str(&text);
    if (from > 0)
        (void)str_cut(&rest, '\n'); /* the middle of a line */
    while (rest.data) {
        json_t *head = head_json(str_cut(&rest, '\n'));
        if (head)
            json_push(heads, head);
    }
    while (json_array_size(heads) > most)
        (void)json_array_remove(heads, 0); /* it is there */
    *ret_heads = heads;
    return 0;
}
