/* Failpoints: a table of the points passed, and one that may be armed to kill the process. SIGKILL
 * and not abort(), because the question is what is on disk when we get no chance to say goodbye.
 * Without SLIPWAY_FAILPOINTS the calls exist and do nothing. */
#include "base/fault.h"
#ifdef SLIPWAY_FAILPOINTS
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

#define FAULT_POINTS_MAX 1024

struct fault_entry {
    const char *point; /* the literal at the place */
    int64_t hits;
};

static struct fault_entry fault_entries[FAULT_POINTS_MAX];
static size_t fault_entry_count;
static char *fault_armed; /* NULL: nothing armed */
static int64_t fault_left;

static void fault_count_hit(const char *point)
{
    size_t i = 0;
    while (i < fault_entry_count && !text_is(fault_entries[i].point, point))
        i++;
    ASSERT(i < FAULT_POINTS_MAX);
    if (i == fault_entry_count)
        fault_entries[fault_entry_count++].point = point;
    fault_entries[i].hits++;
}

/* $SLIPWAY_FAULT_MARK names a file that tells afterwards that, and where, it happened. */
static _Noreturn void fault_kill(const char *point)
{
    const char *mark = getenv("SLIPWAY_FAULT_MARK");
    int fd = mark ? open(mark, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0)
        (void)dprintf(fd, "%s\n", point);
    (void)kill(getpid(), SIGKILL);
    PANIC("survived a SIGKILL");
}

void fault_hit(const char *point)
{
    fault_count_hit(point);
    if (!fault_armed || (!text_is(fault_armed, "*") && !text_is(fault_armed, point)))
        return;
    if (--fault_left == 0)
        fault_kill(point);
}

void fault_arm(const char *point, int64_t nth)
{
    ASSERT(!point || nth >= 1);
    free(fault_armed);
    fault_armed = point ? mem_strdup(point) : NULL;
    fault_left = nth;
}

/* SLIPWAY_FAULT=point:N. A wrong value is a mistake of the test that set it: say so and stop. */
__attribute__((constructor)) static void fault_arm_from_environment(void)
{
    const char *setting = getenv("SLIPWAY_FAULT");
    const char *colon = setting ? strrchr(setting, ':') : NULL;
    int64_t nth;
    struct err err = ERR_INIT;
    if (!setting || !setting[0])
        return;
    if (!colon || str_to_int(str_of(colon + 1), 1, INT64_MAX, "SLIPWAY_FAULT", &nth, &err) < 0)
        PANIC("SLIPWAY_FAULT is not point:N");
    AUTO_FREE char *point = mem_strndup(setting, (size_t)(colon - setting));
    fault_arm(point, nth);
}

size_t fault_count(void)
{
    return fault_entry_count;
}

const char *fault_point(size_t index, int64_t *ret_hits)
{
    ASSERT(index < fault_entry_count);
    *ret_hits = fault_entries[index].hits;
    return fault_entries[index].point;
}

#else

void fault_arm(const char *point, int64_t nth)
{
    (void)point;
    (void)nth;
}

size_t fault_count(void)
{
    return 0;
}

const char *fault_point(size_t index, int64_t *ret_hits)
{
    (void)index;
    *ret_hits = 0;
    return NULL;
}

#endif
