/* See pushed.h. */
#include "core/branch/pushed.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/journal/journal.h"

#define REFS_NOTED 100 /* of one push; more are counted */

static json_t *refs_noted(const json_t *refs)
{
    static const char *const keys[] = {"ref", "old", "new"};
    json_t *noted = json_array(), *ref;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)refs, i, ref)
    {
        if (i >= REFS_NOTED)
            break;
        json_t *row = json_object();
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
            json_put_text(row, keys[k], json_text(ref, keys[k]));
        json_push(noted, row);
    }
    return noted;
}

int pushed_note(struct core *core, const char *app, const char *actor, const json_t *refs,
                int64_t count, struct err *err)
{
    AUTO_JSON *data = json_object();
    json_put(data, "refs", refs_noted(refs));
    json_put_int(data, "count", count);
    return journal_append(core, actor, "repo.pushed", app, 0, data, err);
}
