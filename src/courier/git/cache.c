/* What an app's jobs remember: strings to heap values, all of them derivable. */
#include <stdlib.h>
#include "courier/git/repo.h"

void git_cache_clear(struct map *cache)
{
    for (size_t i = 0; i < cache->count; i++)
        free(cache->entries[i].value);
    map_done(cache);
    map_init(cache);
}

void git_cache_put(struct map *cache, const char *key, void *value)
{
    if (!cache) {
        free(value);
        return;
    }
    if (cache->count >= GIT_CACHE_MAX)
        git_cache_clear(cache);
    free(map_put(cache, key, value));
}

void git_cache_free(struct map *cache)
{
    if (!cache)
        return;
    git_cache_clear(cache);
    map_done(cache);
    free(cache);
}
