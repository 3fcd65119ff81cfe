/* Which set to try next: what is known is asked for again and again, so the search itself
 * remembers nothing and goes on after a restart where it was.
 *
 * Those chosen so far do not fail alone, but do with a first part of the others. The shortest such
 * part is found by halving; its last branch is needed, and those behind it are not. Each round
 * chooses one. */
#include "core/culprit/culprit_priv.h"

static void set_add(struct culprit_set *set, size_t member)
{
    size_t at = set->count++;
    for (; at > 0 && set->members[at - 1] > member; at--)
        set->members[at] = set->members[at - 1];
    set->members[at] = member;
}

/* The chosen ones and the first `count` of the pool. */
static struct culprit_set with_first(const struct culprit_set *chosen,
                                     const struct culprit_set *pool, size_t count)
{
    struct culprit_set set = *chosen;
    for (size_t i = 0; i < count; i++)
        set_add(&set, pool->members[i]);
    return set;
}

/* The shortest first part of the pool that fails with the chosen ones: *ret_count. False: *ret_set
 * is not known. */
static bool shortest(const struct culprit_set *chosen, const struct culprit_set *pool,
                     culprit_known_fn *known, void *context, size_t *ret_count,
                     struct culprit_set *ret_set)
{
    size_t good = 0, bad = pool->count; /* all of it fails */
    while (bad - good > 1) {
        size_t middle = (good + bad) / 2;
        *ret_set = with_first(chosen, pool, middle);
        enum culprit_known what = known(context, ret_set);
        if (what == CULPRIT_UNKNOWN)
            return false;
        if (what == CULPRIT_BAD)
            bad = middle;
        else
            good = middle;
    }
    *ret_count = bad;
    return true;
}

bool culprit_search(size_t count, culprit_known_fn *known, void *context,
                    struct culprit_set *ret_set)
{
    struct culprit_set chosen = {.count = 0}, pool = {.count = count};
    for (size_t i = 0; i < count; i++)
        pool.members[i] = i;
    for (;;) {
        enum culprit_known what = pool.count == 0 ? CULPRIT_BAD : known(context, &chosen);
        size_t last = 0;
        *ret_set = chosen;
        if (what != CULPRIT_GOOD)
            return what == CULPRIT_BAD;
        if (!shortest(&chosen, &pool, known, context, &last, ret_set))
            return false;
        set_add(&chosen, pool.members[last - 1]);
        pool.count = last - 1;
    }
}
