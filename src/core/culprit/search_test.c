/* The search against every small set, and against sets of a hundred: the culprits are found, nobody
 * else is named, and not much is tried. */
#include "base/mem.h"
#include "base/tap.h"
#include "core/culprit/culprit_priv.h"

TAP_MAIN()

struct world {
    uint64_t culprits; /* all of them are needed, for it to fail; by bits */
    bool trunk_fails;
    struct culprit_set tried[200];
    size_t count;
};

static bool same(const struct culprit_set *a, const struct culprit_set *b)
{
    return a->count == b->count &&
           memcmp(a->members, b->members, a->count * sizeof(a->members[0])) == 0;
}

static bool fails(const struct world *w, const struct culprit_set *set)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < set->count; i++)
        bits |= set->members[i] < 64 ? 1ull << set->members[i] : 0;
    return w->trunk_fails || (bits & w->culprits) == w->culprits;
}

static enum culprit_known known(void *context, const struct culprit_set *set)
{
    const struct world *w = context;
    for (size_t i = 0; i < w->count; i++)
        if (same(&w->tried[i], set))
            return fails(w, set) ? CULPRIT_BAD : CULPRIT_GOOD;
    return CULPRIT_UNKNOWN;
}

/* As the walk does: try what is asked for, then ask again. */
static struct culprit_set search(struct world *w, size_t count)
{
    struct culprit_set set;
    w->count = 0;
    while (!culprit_search(count, known, w, &set)) {
        OK(known(w, &set) == CULPRIT_UNKNOWN); /* nothing twice */
        w->tried[w->count++] = set;
        if (w->count == ARRAY_SIZE(w->tried))
            break;
    }
    return set;
}

static uint64_t bits_of(const struct culprit_set *set)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < set->count; i++)
        bits |= 1ull << set->members[i];
    return bits;
}

TEST(every_set_of_up_to_six_is_found)
{
    struct world w = {0};
    for (size_t count = 1; count <= 6; count++)
        for (w.culprits = 1; w.culprits < 1ull << count; w.culprits++) {
            struct culprit_set found = search(&w, count);
            OK(bits_of(&found) == w.culprits);
        }
}

TEST(trunk_alone_is_tried_first_and_names_nobody)
{
    struct world w = {.trunk_fails = true};
    struct culprit_set found = search(&w, 20);
    IS_INT(found.count, 0);
    IS_INT(w.count, 1);
}

TEST(one_of_twenty_takes_seven_builds_and_two_thirteen)
{
    struct world one = {.culprits = 1u << 13}, two = {.culprits = 1u << 4 | 1u << 17};
    struct culprit_set found = search(&one, 20);
    OK(bits_of(&found) == one.culprits);
    OK(one.count <= 7);
    found = search(&two, 20);
    OK(bits_of(&found) == two.culprits);
    OK(two.count <= 13);
    printf("# of 20: one culprit after %zu builds, two after %zu\n", one.count, two.count);
}

TEST(a_hundred_branches)
{
    struct world w = {.culprits = 1ull << 63 | 1};
    struct culprit_set found = search(&w, TICKS_MAX);
    IS_INT(found.count, 2);
    OK(bits_of(&found) == w.culprits);
    OK(w.count <= 18);
}
