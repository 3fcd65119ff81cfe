/* The child that reads reports: `slipway host-report FOLDER PATH junit|tap SINCE`. FOLDER (the tree
 * of the build) becomes its whole world, read-only; PATH is a file in it, or a folder of *.xml or
 * *.tap files. A report from before SINCE (seconds) came with the source: it says nothing. The
 * build wrote all of it, so nothing is followed and everything is bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "host/build/build.h"
#include "host/build/report.h"
#include "host/narrow/narrow.h"

#define FILES_MAX 2000
#define MEMORY_MAX (512ll << 20)
#define CPU_SECONDS 60
#define CLOCK_SLACK_SECONDS 2

static int64_t since; /* less what a file system's clock may be behind */

static int parse_fd(struct report *r, int fd, bool junit, int64_t *budget, struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return FAIL(err, E_PATH_ESCAPES, "the report is no regular file");
    if (st.st_mtim.tv_sec < since)
        return FAIL(err, E_VALUE_INVALID,
                    "the report is older than the check: it did not write it");
    if (st.st_size > *budget)
        return FAIL(err, E_TOO_LARGE, "the reports are larger than 32 MiB");
    *budget -= st.st_size;
    if (file_read_fd(fd, REPORT_BYTES_MAX, &text, err) < 0)
        return -1;
    return junit ? report_junit(r, buf_str(&text), err) : report_tap(r, buf_str(&text), err);
}

static int wanted(const struct dirent *e)
{
    return str_ends(str_of(e->d_name), ".xml") || str_ends(str_of(e->d_name), ".tap");
}

static int parse_entry(struct report *r, int dir_fd, const char *name, bool junit, int64_t *budget,
                       struct err *err)
{
    AUTO_CLOSE int fd = -1;
    if (file_open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK, 0, &fd, err) < 0 ||
        parse_fd(r, fd, junit, budget, err) < 0)
        return err_wrap(err, "'%s'", name);
    return 0;
}

static int parse_folder(struct report *r, int dir_fd, bool junit, struct err *err)
{
    struct dirent **names = NULL;
    int64_t budget = REPORT_BYTES_MAX;
    int count = scandirat(dir_fd, ".", &names, wanted, alphasort), result = 0;
    if (count <= 0 || count > FILES_MAX)
        result = FAIL(err, E_VALUE_INVALID, "the report folder has %d report files",
                      count < 0 ? 0 : count);
    for (int i = 0; i < count; i++) {
        if (result == 0)
            result = parse_entry(r, dir_fd, names[i]->d_name, junit, &budget, err);
        free(names[i]);
    }
    free(names);
    return result;
}

static int parse_path(struct report *r, const char *path, bool junit, struct err *err)
{
    struct stat st;
    int64_t budget = REPORT_BYTES_MAX;
    AUTO_CLOSE int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int fd = -1;
    if (root < 0)
        return FAIL_SYS(err, "cannot open the tree");
    if (file_open_beneath(root, path, O_RDONLY | O_NONBLOCK, 0, &fd, err) < 0)
        return err_wrap(err, "report '%s'", path);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return parse_folder(r, fd, junit, err);
    return parse_fd(r, fd, junit, &budget, err);
}

int report_main(int argc, char **argv)
{
    static const cap_value_t caps[] = {CAP_DAC_READ_SEARCH}; /* the tree belongs to a range */
    static struct report report;
    struct err err = ERR_INIT;
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (argc != 6) {
        (void)FAIL(&err, E_USAGE, "host-report FOLDER PATH junit|tap SINCE");
        narrow_answer_error(&err);
    }
    since = strtoll(argv[5], NULL, 10) - CLOCK_SLACK_SECONDS;
    struct narrow_spec spec = {.root = argv[2],
                               .read_only = true,
                               .keep = caps,
                               .keep_count = 1,
                               .calls = NARROW_READ_FILES,
                               .memory_bytes = MEMORY_MAX,
                               .cpu_seconds = CPU_SECONDS};
    if (narrow_self(&spec, &err) < 0 ||
        parse_path(&report, argv[3], strcmp(argv[4], "junit") == 0, &err) < 0)
        narrow_answer_error(&err);
    narrow_answer(report_json(&report));
}
