/* What host says of instances, as people and plans need it: whether one is ready, how often it was
 * started again, and why. Kept in memory only: host tells all of it whenever it connects, and each
 * change as it happens. */
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/release/release_priv.h"

static struct map health; /* instance -> json object, owned */

void health_clear(void)
{
    while (health.count)
        json_decref(map_remove(&health, health.entries[0].key));
    map_done(&health);
    map_init(&health);
}

void health_note(const json_t *item)
{
    const char *name = json_text(item, "instance");
    if (!name)
        return;
    json_t *kept = json_object();
    json_put_text(kept, "state", json_text_or(item, "state", "unknown"));
    json_put_int(kept, "restarts", json_int(item, "restarts", 0));
    json_put_text(kept, "why", json_text_or(item, "text", ""));
    json_decref(map_put(&health, name, kept));
}

void health_forget(const char *name)
{
    json_decref(map_remove(&health, name));
}

bool health_is_bad(const char *name)
{
    const json_t *known = map_get(&health, name);
    return known && !text_is(json_text(known, "state"), "ready");
}

void health_put(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *known = map_get(&health, json_text_or(row, "name", ""));
        json_put_text(row, "health", known ? json_text(known, "state") : NULL);
        json_put_int(row, "restarts", known ? json_int(known, "restarts", 0) : 0);
        json_put_text(row, "why", known ? json_text(known, "why") : NULL);
    }
}
