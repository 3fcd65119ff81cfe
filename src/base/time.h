/* Clock and random numbers behind one interface, so that a test or a simulation can give its own.
 * Wall time is milliseconds since 1970 (UTC), mono time milliseconds from an arbitrary start: use
 * mono for every timer and duration, wall for what people see and for expiry. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(void *context);
    int64_t (*mono_ms)(void *context);
    void (*random)(void *context, void *bytes, size_t count);
    void *context;
};
const struct clock *clock_system(void); /* CLOCK_REALTIME, CLOCK_MONOTONIC, getrandom */
int64_t clock_wall_ms(const struct clock *c);
int64_t clock_mono_ms(const struct clock *c);
int64_t clock_mono_us(void); /* the system's, for measuring */
void clock_random(const struct clock *c, void *bytes, size_t count);
/* "2026-11-20T16:50:14.123Z" into 25 bytes. */
void time_format(int64_t wall_ms, char text[25]);
/* `count` random bytes as lower-case hex: writes 2 * count + 1 bytes. */
void random_hex(const struct clock *c, size_t count, char *text);
