/* See progress.h.
 *
 * "remote: Counting objects:  12% (3/25)\r", "Receiving objects:  45% (450/1000), 1.2 MiB | ...\r":
 * each begins anew in the same line; only what an end follows is whole. */
#include "courier/git/progress.h"

static const struct {
    const char *said, *name;
} stages[] = {
    [GIT_STAGE_NONE] = {"", NULL},
    [GIT_STAGE_COUNTING] = {"remote: Counting objects:", "counting"},
    [GIT_STAGE_COMPRESSING] = {"remote: Compressing objects:", "compressing"},
    [GIT_STAGE_RECEIVING] = {"Receiving objects:", "receiving"},
    [GIT_STAGE_RESOLVING] = {"Resolving deltas:", "resolving"},
};

/* 0: it says no such thing. */
static int read_line(struct str line)
{
    struct err ignored = ERR_INIT;
    int64_t percent = 0;
    for (int i = GIT_STAGE_COUNTING; i <= GIT_STAGE_RESOLVING; i++) {
        size_t length = strlen(stages[i].said);
        if (!str_starts(line, stages[i].said))
            continue;
        struct str rest = {line.data + length, line.length - length};
        struct str number = str_trim(str_cut(&rest, '%'));
        return rest.data && str_to_int(number, 0, 100, "percent", &percent, &ignored) == 0
                   ? i * 1000 + (int)percent
                   : 0;
    }
    return 0;
}

void git_progress_take(struct git_progress *p, struct str said)
{
    size_t begin = 0;
    for (size_t i = 0; i < said.length; i++) {
        if (said.data[i] != '\r' && said.data[i] != '\n')
            continue;
        int now = read_line((struct str){said.data + begin, i - begin});
        if (now)
            atomic_store(&p->now, now);
        begin = i + 1;
    }
}

const char *git_progress_stage(const struct git_progress *p, int *ret_percent)
{
    int now = atomic_load(&p->now);
    *ret_percent = now % 1000;
    return stages[now / 1000].name;
}
