/* Heads of the journal: appended, read back, torn lines skipped. */
#include <fcntl.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "host/host_priv.h"

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct settings *settings_here(void)
{
    struct err err = ERR_INIT;
    struct settings *s = NULL;
    AUTO_FREE char *path = mem_format("%s/settings", tap_dir());
    AUTO_FREE char *text = mem_format("data_dir = %s\nrun_dir = /tmp/x\n", tap_dir());
    AUTO_FREE char *host = mem_format("%s/host", tap_dir());
    OK(file_make_dirs(host, 0700, &err) == 0);
    OK(file_write(path, str_of(text), 0600, &err) == 0);
    OK(settings_load(path, &s, &err) == 0);
    return s;
}

TEST(appends_and_reads_the_last)
{
    struct err err = ERR_INIT;
    struct settings *s = settings_here();
    AUTO_JSON *heads = NULL;
    for (int i = 1; i <= 5; i++)
        OK(journal_head_append(s, i, hash, &err) == 0);
    OK(journal_last(s, 3, &heads, &err) == 0);
    IS_INT(json_array_size(heads), 3);
    IS_INT(json_int(json_array_get(heads, 0), "seq", 0), 3);
    IS_STR(json_text(json_array_get(heads, 2), "hash"), hash);
    settings_free(s);
}

TEST(a_torn_line_is_skipped_and_not_continued)
{
    struct err err = ERR_INIT;
    struct settings *s = settings_here();
    AUTO_JSON *heads = NULL;
    OK(journal_head_append(s, 1, hash, &err) == 0);
    AUTO_FREE char *path = settings_data(s, "host/journal-heads");
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    OK(write(fd, "2 0123", 6) == 6);
    OK(journal_head_append(s, 3, hash, &err) == 0);
    OK(journal_last(s, 10, &heads, &err) == 0);
    IS_INT(json_array_size(heads), 2);
    IS_INT(json_int(json_array_get(heads, 1), "seq", 0), 3);
    settings_free(s);
}

TEST(refuses_what_is_no_hash)
{
    struct err err = ERR_INIT;
    struct settings *s = settings_here();
    OK(journal_head_append(s, 1, "0123\n9 f", &err) < 0 && err.kind == E_FIELD_INVALID);
    settings_free(s);
}

TAP_MAIN()
