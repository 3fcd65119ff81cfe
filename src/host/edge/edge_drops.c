/* See edge_drops.h. */
#include "host/edge/edge_drops.h"

void edge_drops_note(struct edge_drops *d, int64_t counter, int64_t now_ms)
{
    int64_t added = !d->known ? 0 : counter < d->seen ? counter : counter - d->seen;
    d->known = true;
    d->seen = counter;
    if (added == 0)
        return;
    d->kept[d->next % EDGE_DROPS_KEPT].at_ms = now_ms;
    d->kept[d->next % EDGE_DROPS_KEPT].count = added;
    d->next++;
}

int64_t edge_drops_lately(const struct edge_drops *d, int64_t now_ms)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < EDGE_DROPS_KEPT && i < d->next; i++)
        if (now_ms - d->kept[i].at_ms < EDGE_DROPS_MS)
            sum += d->kept[i].count;
    return sum;
}
