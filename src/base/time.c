/* The system's clock and random numbers, and the one way to print a time. These calls cannot fail
 * on a kernel we run on; should one, nothing sensible can follow, so it is a panic. */
#include "base/time.h"
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include "base/check.h"
#include "base/mem.h"

static struct timespec time_now(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) < 0)
        PANIC("clock_gettime failed");
    return now;
}

static int64_t system_wall_ms(void *context)
{
    (void)context;
    struct timespec now = time_now(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_mono_ms(void *context)
{
    (void)context;
    return clock_mono_us() / 1000;
}

static void system_random(void *context, void *bytes, size_t count)
{
    (void)context;
    unsigned char *next = bytes;
    while (count > 0) {
        ssize_t got = getrandom(next, count, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            PANIC("getrandom failed");
        next += got;
        count -= (size_t)got;
    }
}

const struct clock *clock_system(void)
{
    static const struct clock system_clock = {
        .wall_ms = system_wall_ms, .mono_ms = system_mono_ms, .random = system_random};
    return &system_clock;
}

int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c->context);
}

int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ms(c->context);
}

int64_t clock_mono_us(void)
{
    struct timespec now = time_now(CLOCK_MONOTONIC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void clock_random(const struct clock *c, void *bytes, size_t count)
{
    c->random(c->context, bytes, count);
}

/* Years 1970 to 9999: what lies outside would not fit the form, and is shown as the nearest. */
void time_format(int64_t wall_ms, char text[25])
{
    const int64_t last = 253402300799999; /* 9999-12-31T23:59:59.999Z */
    int64_t ms = wall_ms < 0 ? 0 : wall_ms > last ? last : wall_ms;
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts))
        PANIC("gmtime_r failed");
    char date[20];
    size_t length = strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    ASSERT(length == 19);
    (void)snprintf(text, 25, "%s.%03uZ", date, (unsigned)(ms % 1000) & 1023);
}

void random_hex(const struct clock *c, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        unsigned char byte;
        clock_random(c, &byte, 1);
        text[2 * i] = digits[byte >> 4];
        text[2 * i + 1] = digits[byte & 15];
    }
    text[2 * count] = '\0';
}
