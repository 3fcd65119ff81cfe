/* Log lines as they arrive on stderr: escaping above all. */
#include "base/log.h"
#include <fcntl.h>
#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"

static int saved_stderr = -1;

static void capture_begin(void)
{
    AUTO_FREE char *path = mem_format("%s/log", tap_dir());
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    saved_stderr = dup(STDERR_FILENO);
    OK(dup2(fd, STDERR_FILENO) >= 0);
}

/* What was written since, without the time. Heap. */
static char *capture_end(void)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/log", tap_dir());
    AUTO_BUF content = BUF_INIT(0);
    OK(dup2(saved_stderr, STDERR_FILENO) >= 0);
    (void)close(saved_stderr);
    IS_INT(file_read(path, 1 << 20, &content, &err), 0);
    struct str line = buf_str(&content);
    (void)str_cut(&line, ' ');
    return line.data ? str_dup(line) : mem_strdup("");
}

TEST(writes_one_logfmt_line)
{
    log_setup("core", LOG_INFO);
    capture_begin();
    log_info("rollout started", F_ID("rollout", 5), F_STR("env", "test"), F_STR("none", NULL));
    AUTO_FREE char *line = capture_end();
    IS_STR(line, "level=info role=core msg=\"rollout started\" rollout=5 env=test none=-\n");
}

TEST(works_without_fields)
{
    capture_begin();
    log_warn("retrying");
    AUTO_FREE char *line = capture_end();
    IS_STR(line, "level=warn role=core msg=retrying\n");
}

TEST(keeps_to_its_level)
{
    capture_begin();
    log_debug("detail");
    AUTO_FREE char *line = capture_end();
    IS_STR(line, "");
}

TEST(cannot_be_forged)
{
    capture_begin();
    log_error("bad", F_STR("a", "x\nlevel=info"), F_STR("b", "x b=2"), F_STR("c", "\x1b[2J\xff\""),
              F_STR("d", ""));
    AUTO_FREE char *line = capture_end();
    IS_STR(line, "level=error role=core msg=bad a=\"x\\nlevel=info\" b=\"x b=2\" "
                 "c=\"\\u001b[2J\xef\xbf\xbd\\\"\" d=\"\"\n");
}

TEST(writes_errors)
{
    struct err err = {
        .kind = E_DIGEST_CHANGED, .line = 7, .file = "x.c", .text = "digest 'a' changed"};
    capture_begin();
    log_error("cannot release", F_ERR(&err));
    AUTO_FREE char *line = capture_end();
    IS_STR(line, "level=error role=core msg=\"cannot release\" error=digest_changed "
                 "error_text=\"digest 'a' changed\" error_at=x.c:7\n");
}

TEST(cuts_long_values_and_lines)
{
    AUTO_FREE char *huge = mem_alloc(100001);
    memset(huge, 'h', 100000);
    struct log_field fields[20];
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        fields[i] = F_STR("f", huge);
    capture_begin();
    log_line(LOG_ERROR, "long", fields, ARRAY_SIZE(fields));
    AUTO_FREE char *line = capture_end();
    size_t length = strlen(line);
    OK(length < 66000 && length > 50000);
    OK(str_ends(str_of(line), " cut=1\n"));
}

TAP_MAIN()
