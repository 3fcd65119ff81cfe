/* The pure parts of the probe: reading a status line, and what a result means.
 *
 * A new target is asked often at first (1, 2, 4 ... ms up to the interval): an app that is up in
 * three milliseconds should not wait for ten. A ready one is asked at the liveness pace and becomes
 * unready at the second failure in a row; the first is followed quickly by a second look. One that
 * does not answer in time hangs: a second look would cost its clients as much time again. */
#include <string.h>
#include "host/probe/probe.h"
#include "host/probe/probe_priv.h"

int probe_status(const char *bytes, size_t length)
{
    static const char want[] = "HTTP/1.";
    size_t have = length < sizeof(want) - 1 ? length : sizeof(want) - 1;
    if (memcmp(bytes, want, have) != 0)
        return -1;
    if (length < 13) /* "HTTP/1.1 200 " */
        return 0;
    if ((bytes[7] != '0' && bytes[7] != '1') || bytes[8] != ' ')
        return -1;
    int status = 0;
    for (int i = 9; i < 12; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return -1;
        status = status * 10 + (bytes[i] - '0');
    }
    return bytes[12] == ' ' || bytes[12] == '\r' ? status : -1;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void probe_took(struct probe_state *state, uint32_t took_ms)
{
    uint32_t faded = state->usual_ms - state->usual_ms / 8;
    state->usual_ms = took_ms > faded ? took_ms : faded;
}

uint32_t probe_patience(const struct probe_state *state, uint32_t timeout_ms)
{
    if (state->health == PROBE_NEW || state->health == PROBE_UNREADY)
        return timeout_ms;
    uint32_t patience = state->usual_ms < UINT32_MAX / 3 ? state->usual_ms * 3 : UINT32_MAX;
    return least(patience > PROBE_LATE_MS ? patience : PROBE_LATE_MS, timeout_ms);
}

void probe_next(struct probe_state *state, enum probe_result result, uint32_t interval_ms,
                uint32_t liveness_ms)
{
    enum probe_health was = state->health;
    state->tell = false;
    if (result == PROBE_GOOD) {
        state->tell = was == PROBE_NEW || was == PROBE_UNREADY;
        state->health = PROBE_READY;
        state->delay_ms = liveness_ms;
        return;
    }
    if (was == PROBE_READY && result == PROBE_LATE)
        was = PROBE_FAILING;
    switch (was) {
    case PROBE_NEW:
        state->delay_ms = least(state->delay_ms ? state->delay_ms * 2 : 1, interval_ms);
        break;
    case PROBE_READY:
        state->health = PROBE_FAILING;
        state->delay_ms = least(liveness_ms / 4 + 1, 250);
        break;
    case PROBE_FAILING:
        state->health = PROBE_UNREADY;
        state->tell = true;
        state->delay_ms = interval_ms;
        break;
    case PROBE_UNREADY:
        state->delay_ms = interval_ms < 50 ? 50 : interval_ms; /* no need to hurry */
        break;
    }
}
