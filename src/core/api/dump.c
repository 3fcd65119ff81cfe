/* See dump.h. Columns are named where a table holds what nobody is shown. */
#include "core/api/dump.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/feed/feed.h"
#include "core/link/link.h"
#include "core/store/store.h"

#define NEWEST " LIMIT 200"

static const char *const tables[][2] = {
    {"core_meta", "SELECT * FROM core_meta"},
    {"app", "SELECT * FROM app"},
    {"env", "SELECT * FROM env"},
    {"app_env", "SELECT * FROM app_env"},
    {"domain", "SELECT * FROM domain"},
    {"ticked", "SELECT * FROM ticked ORDER BY app_env_id, position"},
    {"app_gone", "SELECT * FROM app_gone"},
    {"app_env_gone", "SELECT * FROM app_env_gone"},
    {"person", "SELECT id, name, password IS NOT NULL AS has_password_bool, created_at "
               "FROM person"},
    {"person_grant", "SELECT * FROM person_grant"},
    {"role_right", "SELECT * FROM role_right"},
    {"token",
     "SELECT id, person_id, kind, name, read_only, app_id, created_at, expires_at, used_at "
     "FROM token"},
    {"link", "SELECT kind, person_id, created_at, expires_at, used_at FROM link "
             "ORDER BY created_at DESC" NEWEST},
    {"secret_name", "SELECT * FROM secret_name"},
    {"secret_version",
     "SELECT app_env_id, name, version, kind, set_by, set_at FROM secret_version"},
    {"build",
     "SELECT id, app_env_id, number, state, built_by, created_at, ended_at, commit_id, "
     "trunk_tip, same_as, artifact, error AS error_json FROM build ORDER BY id DESC" NEWEST},
    {"release", "SELECT id, app_env_id, number, artifact, build_id, secrets AS secrets_json, "
                "commit_id, branches AS branches_json, released_by, created_at, bad FROM release "
                "ORDER BY id DESC" NEWEST},
    {"resolution", "SELECT * FROM resolution ORDER BY id DESC" NEWEST},
    {"culprit", "SELECT * FROM culprit ORDER BY id DESC" NEWEST},
    {"finding", "SELECT * FROM finding ORDER BY id DESC" NEWEST},
    {"finding_note",
     "SELECT id, finding_id, kind, release, round, noted_by, created_at FROM finding_note ORDER BY "
     "id DESC" NEWEST},
    {"forge", "SELECT id, name, kind, url, login, seen_as, created_at, actor FROM forge"},
    {"origin", "SELECT app_id, forge_id, project, url, mode, state, since, error AS error_json, "
               "hook, hook_text, created_at, actor FROM origin"},
    {"commit_status", "SELECT * FROM commit_status ORDER BY id DESC" NEWEST},
    {"trial", "SELECT * FROM trial ORDER BY id DESC" NEWEST},
    {"finding_picture", "SELECT id, finding_id, type, bytes, added_by, created_at FROM "
                        "finding_picture ORDER BY id DESC" NEWEST},
    {"landing", "SELECT * FROM landing ORDER BY id DESC" NEWEST},
    {"rollout", "SELECT * FROM rollout ORDER BY id DESC" NEWEST},
    {"rollout_step", "SELECT * FROM rollout_step WHERE rollout_id IN (SELECT id FROM rollout "
                     "WHERE state IN ('running','reverting'))"},
    {"instance", "SELECT * FROM instance"},
    {"journal", "SELECT seq, at, actor, kind, subject FROM journal ORDER BY seq DESC" NEWEST},
};

/* One that cannot be read does not hide the others. */
static void put_table(struct core *core, json_t *reply, const char *name, const char *sql)
{
    struct err err = ERR_INIT;
    json_t *rows = NULL;
    if (store_rows(core->store, &rows, &err, sql, "") < 0)
        rows = json_from_err(&err);
    json_put(reply, name, rows);
}

static void put_beside(const struct core *core, json_t *reply)
{
    json_t *links = json_object();
    json_t *feed = json_object();
    json_put_bool(links, "host", link_up(core->host));
    json_put_bool(links, "courier", link_up(core->courier));
    json_put_bool(links, "signals", link_up(core->signals));
    json_put_int(feed, "last_id", feed_last_id(core->feed));
    json_put_int(reply, "epoch", core->epoch);
    json_put_int(reply, "store_bytes", store_size(core->store));
    json_put(reply, "links", links);
    json_put(reply, "feed", feed);
}

void dump_core(struct core *core, json_t *reply)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        put_table(core, reply, tables[i][0], tables[i][1]);
    put_beside(core, reply);
}
