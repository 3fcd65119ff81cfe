/* What a build does, one thing after the other, with times: the phases of the machine that take
 * their time, the steps and the checks. Loop thread. */
#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/build/build_priv.h"

static const char *phase_of(int state)
{
    static const char *const phases[] = {[BUILD_BASE] = "base",
                                         [BUILD_TREE] = "source",
                                         [BUILD_COLLECT] = "pack",
                                         [BUILD_ADMIT] = "pack"};
    return (size_t)state < ARRAY_SIZE(phases) ? phases[state] : NULL;
}

static json_t *running(const struct build *b)
{
    json_t *last = json_array_get(b->timeline, json_array_size(b->timeline) - 1);
    return text_is(json_text(last, "state"), "running") ? last : NULL;
}

void timeline_begin(struct build *b, const char *kind, const char *name)
{
    json_t *entry = json_object();
    b->timeline_began_ms = clock_mono_ms(clock_system());
    json_put_text(entry, "step", name);
    json_put_text(entry, "kind", kind);
    json_put_text(entry, "state", "running");
    json_put_int(entry, "at", clock_wall_ms(clock_system()));
    json_put_int(entry, "ms", 0);
    build_tell(b, "step", json_copy(entry));
    json_push(b->timeline, entry);
}

void timeline_end(struct build *b, const char *state)
{
    json_t *entry = running(b);
    if (!entry)
        return;
    json_put_text(entry, "state", state);
    json_put_int(entry, "ms", clock_mono_ms(clock_system()) - b->timeline_began_ms);
    build_tell(b, "step", json_copy(entry));
}

void timeline_turn(struct build *b, int from, int to)
{
    const char *phase = phase_of(to);
    bool goes_on = phase && text_is(phase, phase_of(from));
    if (to == BUILD_CLEANING)
        timeline_end(b, b->err.kind == E_OK ? "done" : "failed");
    else if (phase_of(from) && !goes_on)
        timeline_end(b, "done");
    if (phase && !goes_on)
        timeline_begin(b, "phase", phase);
}
