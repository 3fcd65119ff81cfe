/* See clock_check.h. */
#include "core/api/clock_check.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>

#define FLOOR_MS 1767225600000 /* 2026-01-01: no installation is older */
#define SLACK_MS 60000

static int64_t start_wall_ms, start_boot_ms;

/* Goes on while the machine sleeps, as the wall clock does. */
static int64_t boot_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* every kernel we run on has it */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_check_start(const struct clock *c)
{
    start_wall_ms = clock_wall_ms(c);
    start_boot_ms = boot_ms();
}

void clock_check_look(const struct clock *c, struct clock_facts *ret_facts)
{
    struct timex kernel;
    struct stat program;
    memset(&kernel, 0, sizeof(kernel)); /* modes 0: only asks */
    *ret_facts = (struct clock_facts){.wall_ms = clock_wall_ms(c)};
    if (start_wall_ms)
        ret_facts->jumped_ms = ret_facts->wall_ms - start_wall_ms - (boot_ms() - start_boot_ms);
    if (stat("/proc/self/exe", &program) == 0)
        ret_facts->program_ms = (int64_t)program.st_mtim.tv_sec * 1000;
    ret_facts->is_synchronised =
        adjtimex(&kernel) != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0;
}

static bool behind(const struct clock_facts *f, int64_t then_ms, const char *what, char *ret_text)
{
    char then[25], now[25];
    if (then_ms <= f->wall_ms + SLACK_MS)
        return false;
    time_format(then_ms, then);
    time_format(f->wall_ms, now);
    (void)snprintf(ret_text, CLOCK_TEXT,
                   "the wall clock says %.16s, but %s %.16s: it is behind, or was ahead then", now,
                   what, then);
    return true;
}

/* NTP puts a clock right by a jump, so one is only wrong where nobody keeps the clock. */
static bool was_set(const struct clock_facts *f, char *ret_text)
{
    int64_t by_ms = f->jumped_ms < 0 ? -f->jumped_ms : f->jumped_ms;
    if (by_ms <= SLACK_MS || f->is_synchronised)
        return false;
    (void)snprintf(ret_text, CLOCK_TEXT,
                   "the wall clock was set %s by %lld s since core started, and nothing "
                   "synchronises it",
                   f->jumped_ms < 0 ? "back" : "ahead", (long long)by_ms / 1000);
    return true;
}

bool clock_judge(const struct clock_facts *f, char ret_text[CLOCK_TEXT])
{
    if (behind(f, FLOOR_MS, "Slipway is not older than", ret_text) ||
        behind(f, f->last_row_ms, "the journal's last row is of", ret_text) ||
        behind(f, f->program_ms, "this program was written at", ret_text) || was_set(f, ret_text))
        return false;
    (void)snprintf(ret_text, CLOCK_TEXT, "%s",
                   f->is_synchronised
                       ? "moves forward, and is synchronised"
                       : "moves forward; nothing synchronises it (timedatectl set-ntp true)");
    return true;
}
