/* Pictures of findings: few, small, of kinds that browsers show and that hold no script. They lie
 * in the store, beside what they belong to, and come along with every backup. */
#include "base/json.h"
#include "core/finding/finding.h"
#include "core/store/store.h"

const char finding_picture_schema[] =
    "ALTER TABLE finding_note ADD COLUMN link TEXT;"
    /* the picture last: what stands behind it would be read through it */
    "CREATE TABLE finding_picture(id INTEGER PRIMARY KEY, finding_id BIGINT NOT NULL, type TEXT "
    "NOT "
    "NULL, bytes BIGINT NOT NULL, added_by TEXT NOT NULL, created_at BIGINT NOT NULL, picture BLOB "
    "NOT NULL);"
    "CREATE INDEX finding_pictures ON finding_picture(finding_id, id);";

#define PICTURES_MAX 6                    /* of a finding */
#define PICTURES_BYTES ((int64_t)1 << 30) /* of all */
#define CLOSED_KEPT_MS (30 * 86400000ll)  /* when there is no room for others */

/* By what it begins with: nobody's word is taken for it. */
static const char *type_of(struct str picture)
{
    static const struct {
        const char *type;
        size_t at, length;
        const char *bytes;
    } kinds[] = {
        {"image/png", 0, 8, "\x89PNG\r\n\x1a\n"},
        {"image/jpeg", 0, 3, "\xff\xd8\xff"},
        {"image/webp", 8, 4, "WEBP"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (picture.length > kinds[i].at + kinds[i].length &&
            memcmp(picture.data + kinds[i].at, kinds[i].bytes, kinds[i].length) == 0)
            return kinds[i].type;
    return NULL;
}

static int bytes_of_all(struct core *core, int64_t *ret_bytes, struct err *err)
{
    return store_one_int(core->store, ret_bytes, err,
                         "SELECT coalesce(sum(bytes),0) FROM finding_picture", "") < 0
               ? -1
               : 0;
}

/* Pictures of what was closed long ago go first. */
static int make_room(struct core *core, int64_t bytes, struct err *err)
{
    int64_t all = 0;
    if (bytes_of_all(core, &all, err) < 0)
        return -1;
    if (all + bytes <= PICTURES_BYTES)
        return 0;
    if (store_run(core->store, err,
                  "DELETE FROM finding_picture WHERE finding_id IN (SELECT id FROM finding WHERE "
                  "state='closed' AND changed_at<$1)",
                  "i", clock_wall_ms(core->clock) - CLOSED_KEPT_MS) < 0 ||
        bytes_of_all(core, &all, err) < 0)
        return -1;
    if (all + bytes > PICTURES_BYTES)
        return FAIL(err, E_TOO_MANY,
                    "the pictures of all findings are larger than 1 GiB by now: close findings, "
                    "their pictures go 30 days later");
    return 0;
}

static int refuse_many(struct core *core, int64_t finding_id, size_t bytes, struct err *err)
{
    int64_t count = 0;
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM finding_picture WHERE finding_id=$1", "i",
                      finding_id) < 0)
        return -1;
    if (count >= PICTURES_MAX)
        return FAIL(err, E_TOO_MANY, "a finding has %d pictures at most", PICTURES_MAX);
    return make_room(core, (int64_t)bytes, err);
}

static int id_of(struct core *core, int64_t app_id, int64_t number, int64_t *ret_id,
                 struct err *err)
{
    int found =
        store_one_int(core->store, ret_id, err,
                      "SELECT id FROM finding WHERE app_id=$1 AND number=$2", "ii", app_id, number);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such finding") : found;
}

int finding_picture_add(struct core *core, const struct person *by, int64_t app_id, int64_t number,
                        struct str picture, int64_t *ret_id, struct err *err)
{
    int64_t finding_id = 0;
    const char *type = type_of(picture);
    if (!type)
        return FAIL(err, E_MEDIA_TYPE, "this is no PNG, JPEG or WebP");
    if (id_of(core, app_id, number, &finding_id, err) < 0 ||
        refuse_many(core, finding_id, picture.length, err) < 0)
        return -1;
    return store_one_int(core->store, ret_id, err,
                         "INSERT INTO finding_picture(finding_id, type, picture, bytes, added_by, "
                         "created_at) VALUES($1,$2,$3,$4,$5,$6) RETURNING id",
                         "itbiti", finding_id, type, picture, (int64_t)picture.length, by->name,
                         clock_wall_ms(core->clock));
}

int finding_pictures(struct core *core, int64_t finding_id, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      "SELECT id, type, bytes, added_by AS \"by\", created_at AS \"at\" FROM "
                      "finding_picture WHERE finding_id=$1 ORDER BY id",
                      "i", finding_id);
}

int finding_picture_get(struct core *core, int64_t app_id, int64_t number, int64_t id,
                        void (*take)(void *context, const char *type, struct str picture),
                        void *context, struct err *err)
{
    AUTO_QUERY q = {0};
    int64_t finding_id = 0;
    if (id_of(core, app_id, number, &finding_id, err) < 0 ||
        store_query(core->store, &q, err,
                    "SELECT type, picture FROM finding_picture WHERE id=$1 AND finding_id=$2", "ii",
                    id, finding_id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1 : FAIL(err, E_NOT_FOUND, "no such picture");
    take(context, query_text(&q, 0), query_blob(&q, 1));
    return 0;
}
