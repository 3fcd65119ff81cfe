/* One look: the tips of the branches, then the courier's facts about them. What was found out last
 * is given again when nothing that it depends on has moved. */
#include "base/json.h"
#include "base/mem.h"
#include "core/facts/facts_priv.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/resolution/resolution.h"

#define TIPS_MS 30000
#define FACTS_MS 120000

struct look {
    struct core *core;
    struct app_env ae;
    json_t *branches; /* names, in order */
    json_t *rows;     /* of the open resolutions */
    json_t *before;   /* facts found out earlier, or NULL */
    json_t *facts;    /* what is known so far: all that the rest depends on */
    look_done_fn *done;
    void *context;
};

static void look_end(struct look *l, json_t *facts, const struct err *error)
{
    l->done(l->context, facts, error);
    json_decref(l->branches);
    json_decref(l->rows);
    json_decref(l->before);
    json_decref(l->facts);
    free(l);
}

/* --- what it depends on --------------------------------------------------------------------- */

/* What the last env of all runs of this app; null: nothing, or this is that env. */
static int put_last(struct look *l, struct err *err)
{
    AUTO_JSON *release = NULL;
    struct app_env last;
    json_put(l->facts, "last", json_null());
    if (app_env_last(l->core, l->ae.app, &last, err) < 0)
        return -1;
    if (last.id == l->ae.id || !last.live_release)
        return 0;
    if (release_row(l->core, last.id, last.live_release, &release, err) < 0)
        return -1;
    json_t *put = json_object();
    json_put_text(put, "env", last.env);
    json_put_int(put, "release", last.live_release);
    json_put_text(put, "commit", json_text(release, "commit"));
    json_put(l->facts, "last", put);
    return 0;
}

static int put_tips(struct look *l, const json_t *tips, struct err *err)
{
    const char *trunk = json_text(tips, l->ae.trunk);
    json_t *ticks = json_array(), *gone = json_array(), *base = json_object(), *name;
    size_t i;
    json_put(l->facts, "trunk", base);
    json_put(l->facts, "ticks", ticks);
    json_put(l->facts, "gone", gone);
    if (!trunk)
        return FAIL(err, E_BRANCH_UNKNOWN,
                    "the repository of '%s' has no branch '%s' yet: push it first", l->ae.app,
                    l->ae.trunk);
    json_put(l->facts, "resolving", resolutions_args(l->rows, tips, NULL));
    json_put_text(base, "branch", l->ae.trunk);
    json_put_text(base, "commit", trunk);
    json_array_foreach(l->branches, i, name)
    {
        const char *tip = json_text(tips, json_string_value(name));
        if (!tip) {
            json_push(gone, json_incref(name));
            continue;
        }
        json_t *tick = json_object();
        json_put_text(tick, "branch", json_string_value(name));
        json_put_text(tick, "tip", tip);
        json_push(ticks, tick);
    }
    return 0;
}

static bool same_inputs(const struct look *l)
{
    static const char *const keys[] = {"trunk", "last", "ticks", "gone", "resolving"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!json_equal(json_object_get(l->before, keys[i]), json_object_get(l->facts, keys[i])))
            return false;
    return true;
}

/* --- asking --------------------------------------------------------------------------------- */

static void on_facts(void *context, json_t *ok, const struct err *error)
{
    struct look *l = context;
    if (error) {
        look_end(l, NULL, error);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(ok, key, value)
    {
        /* "trunk" is a word of ours, too: the commit; who conflicts with it is "on_trunk" */
        bool alone = text_is(key, "trunk") || text_is(key, "live");
        AUTO_FREE char *name = mem_format("%s%s", alone ? "on_" : "", key);
        json_put(l->facts, name, json_incref(value));
    }
    json_put_int(l->facts, "at", clock_wall_ms(l->core->clock));
    look_end(l, l->facts, NULL);
}

static void ask_facts(struct look *l)
{
    json_t *args = json_object();
    json_put_text(args, "app", l->ae.app);
    json_put_text(args, "trunk", l->ae.trunk);
    json_put_text(args, "base", json_text(json_dict(l->facts, "trunk"), "commit"));
    json_put(args, "ticks", json_deep_copy(json_list(l->facts, "ticks")));
    const char *live = json_text(json_dict(l->facts, "last"), "commit");
    if (live)
        json_put_text(args, "live", live);
    json_put(args, "resolutions", json_deep_copy(json_list(l->facts, "resolving")));
    link_call(l->core->courier, "merge.facts", args, FACTS_MS, on_facts, l);
}

static void on_tips(void *context, json_t *ok, const struct err *error)
{
    struct look *l = context;
    struct err err = ERR_INIT;
    if (error)
        look_end(l, NULL, error);
    else if (put_tips(l, json_dict(ok, "tips"), &err) < 0 || put_last(l, &err) < 0)
        look_end(l, NULL, &err);
    else if (l->before && same_inputs(l))
        look_end(l, l->before, NULL);
    else
        ask_facts(l);
}

void look(struct core *core, const struct app_env *ae, json_t *branches, json_t *before,
          look_done_fn *done, void *context)
{
    struct look *l = mem_alloc(sizeof(*l));
    *l = (struct look){.core = core,
                       .ae = *ae,
                       .branches = branches,
                       .before = before,
                       .facts = json_object(),
                       .done = done,
                       .context = context};
    json_t *args = json_object(), *names = json_copy(branches);
    json_push(names, json_string(ae->trunk));
    struct err err = ERR_INIT;
    if (resolutions_wanted(core, ae->app_id, NULL, &l->rows, &err) < 0) {
        json_decref(args);
        json_decref(names);
        look_end(l, NULL, &err);
        return;
    }
    resolutions_names(l->rows, names);
    json_put_text(args, "app", ae->app);
    json_put(args, "names", names);
    link_call(core->courier, "branch.tips", args, TIPS_MS, on_tips, l);
}
