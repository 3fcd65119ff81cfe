/* Inside automation: a time of day, "HH:MM" of the server's clock. Pure, but for its time zone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

bool daily_is(const char *text);
/* The latest moment, not after now, at which the clock showed this time; both wall ms. 0: unknown.
 */
int64_t daily_last(int64_t now_ms, const char *text);
