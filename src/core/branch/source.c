/* Three questions to the courier, one after the other: the tips, the integration, the file. */
#include "core/branch/source.h"

#include "base/json.h"
#include "base/mem.h"
#include "core/config/config.h"
#include "core/link/link.h"
#include "core/resolution/resolution.h"

#define COURIER_MS 60000
#define NAME_SHORT                                                                                 \
    44 /* bytes of a name in an error's text, which holds 255: three names and advice */
#define DETAIL_FILES 200
#define LEFT_OUT_FILES 5 /* of each branch; the facts know all */
#define DETAIL_BYTES (32u << 10)
#define DETAIL_TEXT (8u << 10)

struct resolve {
    struct core *core;
    struct app_env ae;
    json_t *branches;    /* names wanted, without trunk */
    json_t *pins;        /* {name: tip}, or NULL */
    json_t *rows;        /* of the resolutions that may be used */
    json_t *resolutions; /* the same as the courier wants them */
    json_t *source;      /* what is known so far */
    source_done_fn *done;
    void *context;
};

static void resolve_free(struct resolve *r)
{
    json_decref(r->branches);
    json_decref(r->pins);
    json_decref(r->rows);
    json_decref(r->resolutions);
    json_decref(r->source);
    free(r);
}

static void resolve_end(struct resolve *r, const struct err *error)
{
    r->done(r->context, error ? NULL : r->source, error);
    resolve_free(r);
}

static void resolve_fail(struct resolve *r, enum err_kind kind, const char *text)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, kind, "%s", text);
    resolve_end(r, &err);
}

static void on_file(void *context, json_t *ok, const struct err *error)
{
    struct resolve *r = context;
    struct err err = ERR_INIT;
    struct config_target target = {.app = r->ae.app, .env = r->ae.like};
    AUTO_JSON *envs = NULL;
    json_t *config = NULL;
    if (error && error->kind == E_NOT_FOUND) {
        resolve_fail(r, E_CONFIG_MISSING,
                     "there is no '" CONFIG_FILE
                     "' at the top of the repository: add one (see 'slipway config check')");
        return;
    }
    if (error) {
        resolve_end(r, error);
        return;
    }
    if (env_list(r->core, &envs, &err) < 0) {
        resolve_end(r, &err);
        return;
    }
    target.envs = envs;
    if (config_parse_for(str_of(json_text_or(ok, "text", "")), &target, &config, &err) < 0) {
        resolve_end(r, &err);
        return;
    }
    if (r->ae.is_try)
        json_put_int(config, "instances", 1);
    json_put(r->source, "config", config);
    resolve_end(r, NULL);
}

static void ask_file(struct resolve *r, const char *commit)
{
    json_t *args = json_object();
    json_put_text(args, "app", r->ae.app);
    json_put_text(args, "commit", commit);
    json_put_text(args, "path", CONFIG_FILE);
    json_put_int(args, "max", CONFIG_MAX);
    link_call(r->core->courier, "file.read", args, COURIER_MS, on_file, r);
}

/* A name for the one line of an error: a long one keeps its two ends. */
static char *short_name(const char *text)
{
    struct str all = str_of(text), rest = all;
    size_t head = 0, tail = all.length;
    if (all.length <= NAME_SHORT)
        return mem_strdup(text);
    for (size_t at = 0; at < all.length;) {
        size_t step = str_utf8_step(rest);
        step = step ? step : 1;
        if (at + step <= NAME_SHORT / 2)
            head = at + step;
        at += step;
        rest = (struct str){all.data + at, all.length - at};
        if (tail == all.length && rest.length <= NAME_SHORT / 2)
            tail = at;
    }
    return mem_format("%.*s...%s", (int)head, text, text + tail);
}

static char *name_first(const json_t *names, const char *none)
{
    size_t count = json_array_size(names);
    if (count == 0)
        return mem_strdup(none);
    AUTO_FREE char *name = short_name(json_string_value(json_array_get(names, 0)));
    return count == 1 ? mem_format("'%s'", name) : mem_format("'%s' and %zu more", name, count - 1);
}

/* All of it, but bounded: the error's text names the first ones only. */
static json_t *conflict_detail(const json_t *conflict)
{
    json_t *detail = json_object(), *listed = json_array(), *files = json_list(conflict, "files");
    struct str text = str_of(json_text_or(conflict, "text", ""));
    size_t bytes = 0, i;
    json_t *file;
    json_array_foreach(files, i, file)
    {
        bytes += json_string_length(file);
        if (i < DETAIL_FILES && bytes <= DETAIL_BYTES)
            json_push(listed, json_incref(file));
    }
    for (text.length = text.length < DETAIL_TEXT ? text.length : DETAIL_TEXT;
         !str_is_utf8(text) && text.length > 0;)
        text.length--; /* cut between two characters */
    json_put_text(detail, "branch", json_text(conflict, "branch"));
    json_put(detail, "against", json_incref(json_list(conflict, "against")));
    json_put(detail, "files", listed);
    json_put_int(detail, "file_count", (int64_t)json_array_size(files));
    json_put_str(detail, "text", text);
    return detail;
}

static void fail_conflict(struct resolve *r, const json_t *conflict)
{
    AUTO_FREE char *branch = short_name(json_text_or(conflict, "branch", "?"));
    AUTO_FREE char *against = name_first(json_list(conflict, "against"), "the others");
    AUTO_FREE char *files = name_first(json_list(conflict, "files"), "some files");
    AUTO_JSON *source = json_object();
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_MERGE_CONFLICT, "'%s' conflicts with %s in %s: %s, or untick one", branch,
               against, files,
               text_is(json_text(conflict, "why"), "trunk")
                   ? "merge trunk into it and push"
                   : "resolve it once ('slipway branch resolve')");
    json_put(source, "conflict", conflict_detail(conflict));
    json_decref(r->source);
    r->source = TAKE(source);
    r->done(r->context, r->source, &err);
    resolve_free(r);
}

/* Bounded: a build keeps it. */
static json_t *left_out(const json_t *out)
{
    json_t *list = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)out, i, row)
    {
        json_t *kept = json_object(), *files = json_array();
        json_put_text(kept, "branch", json_text(row, "branch"));
        json_put_text(kept, "tip", json_text(row, "tip"));
        json_put_text(kept, "why", json_text(row, "why"));
        json_put(kept, "against", json_deep_copy(json_list(row, "against")));
        for (size_t n = 0; n < json_array_size(json_list(row, "files")) && n < LEFT_OUT_FILES; n++)
            json_push(files, json_incref(json_array_get(json_list(row, "files"), n)));
        json_put(kept, "files", files);
        json_push(list, kept);
    }
    return list;
}

static void on_integrated(void *context, json_t *ok, const struct err *error)
{
    struct resolve *r = context;
    if (error) {
        resolve_end(r, error);
        return;
    }
    if (json_object_get(ok, "conflict")) {
        fail_conflict(r, json_dict(ok, "conflict"));
        return;
    }
    json_put_text(r->source, "commit", json_text(ok, "commit"));
    json_put_text(r->source, "tree", json_text(ok, "tree"));
    json_put(r->source, "skipped", json_incref(json_list(ok, "skipped")));
    json_put_int(r->source, "ms", json_int(ok, "ms", 0));
    json_put(r->source, "ticks", json_deep_copy(json_list(ok, "ticks")));
    json_put(r->source, "left_out", left_out(json_list(ok, "out")));
    json_put(r->source, "resolutions", resolutions_used(json_list(ok, "resolutions")));
    ask_file(r, json_text_or(ok, "commit", ""));
}

/* With what was merged the last time, for an env that falls back on it. */
static json_t *ticks_to_ask(const struct resolve *r)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    AUTO_JSON *good = json_object();
    json_t *ticks = json_deep_copy(json_list(r->source, "ticks")), *row;
    size_t i;
    if (!text_is(r->ae.policy, "last-good") || ticks_list(r->core, r->ae.id, &rows, &err) < 0)
        return ticks; /* without: such a branch is left out */
    json_array_foreach(rows, i, row)
        json_put_text(good, json_text_or(row, "branch", ""), json_text(row, "deployed_tip"));
    json_array_foreach(ticks, i, row)
    {
        const char *tip = json_text(good, json_text_or(row, "branch", ""));
        if (tip)
            json_put_text(row, "good", tip);
    }
    return ticks;
}

static void ask_integrate(struct resolve *r)
{
    json_t *args = json_object();
    json_put_text(args, "app", r->ae.app);
    json_put_text(args, "trunk", r->ae.trunk);
    json_put_text(args, "base", json_text(r->source, "trunk_tip"));
    json_put(args, "ticks", ticks_to_ask(r));
    json_put_text(args, "policy", r->ae.policy);
    json_put(args, "resolutions", json_incref(r->resolutions));
    link_call(r->core->courier, "integrate", args, COURIER_MS, on_integrated, r);
}

static int take_tips(struct resolve *r, const json_t *tips, struct err *err)
{
    const char *pinned_trunk = json_text(r->pins, r->ae.trunk);
    const char *trunk = pinned_trunk ? pinned_trunk : json_text(tips, r->ae.trunk);
    if (!trunk)
        return FAIL(err, E_BRANCH_UNKNOWN,
                    "the repository of '%s' has no branch '%s' yet: push it first", r->ae.app,
                    r->ae.trunk);
    json_put_text(r->source, "trunk_tip", trunk);
    json_t *ticks = json_array();
    json_put(r->source, "ticks", ticks);
    size_t i;
    json_t *name;
    json_array_foreach(r->branches, i, name)
    {
        const char *pinned = json_text(r->pins, json_string_value(name));
        const char *tip = pinned ? pinned : json_text(tips, json_string_value(name));
        if (!tip)
            return FAIL(err, E_BRANCH_UNKNOWN,
                        "branch '%s' is ticked but gone from the repository: untick it",
                        json_string_value(name));
        json_t *tick = json_object();
        json_put_text(tick, "branch", json_string_value(name));
        json_put_text(tick, "tip", tip);
        json_push(ticks, tick);
    }
    return 0;
}

static void on_tips(void *context, json_t *ok, const struct err *error)
{
    struct resolve *r = context;
    struct err err = ERR_INIT;
    if (error)
        resolve_end(r, error);
    else if (take_tips(r, json_dict(ok, "tips"), &err) < 0)
        resolve_end(r, &err);
    else {
        r->resolutions = resolutions_args(r->rows, json_dict(ok, "tips"), r->pins);
        ask_integrate(r);
    }
}

static struct resolve *resolve_new(struct core *core, const struct app_env *ae,
                                   source_done_fn *done, void *context)
{
    struct resolve *r = mem_alloc(sizeof(*r));
    r->core = core;
    r->ae = *ae;
    r->source = json_object();
    r->done = done;
    r->context = context;
    return r;
}

static void ask_tips(struct resolve *r, json_t *names,
                     void (*on_reply)(void *, json_t *, const struct err *))
{
    json_t *args = json_object();
    json_put_text(args, "app", r->ae.app);
    json_put(args, "names", names);
    link_call(r->core->courier, "branch.tips", args, COURIER_MS, on_reply, r);
}

void source_resolve(struct core *core, const struct app_env *ae, json_t *branches, json_t *pins,
                    source_done_fn *done, void *context)
{
    struct resolve *r = resolve_new(core, ae, done, context);
    r->branches = branches;
    r->pins = pins;
    struct err err = ERR_INIT;
    if (resolutions_wanted(core, ae->app_id, pins, &r->rows, &err) < 0) {
        resolve_end(r, &err);
        return;
    }
    json_t *names = json_copy(branches);
    json_push(names, json_string(ae->trunk));
    resolutions_names(r->rows, names);
    ask_tips(r, names, on_tips);
}

static void on_config_tip(void *context, json_t *ok, const struct err *error)
{
    struct resolve *r = context;
    if (error) {
        resolve_end(r, error);
        return;
    }
    const char *name = json_string_value(json_array_get(r->branches, 0));
    const char *tip = json_text(json_dict(ok, "tips"), name);
    if (!tip) {
        resolve_fail(r, E_BRANCH_UNKNOWN, "the repository has no such branch");
        return;
    }
    json_put_text(r->source, "commit", tip);
    ask_file(r, tip);
}

void source_config(struct core *core, const struct app_env *ae, const char *ref,
                   source_done_fn *done, void *context)
{
    struct resolve *r = resolve_new(core, ae, done, context);
    r->branches = json_array();
    json_push(r->branches, json_string(ref ? ref : ae->trunk));
    ask_tips(r, json_copy(r->branches), on_config_tip);
}

void source_config_at(struct core *core, const struct app_env *ae, const char *commit,
                      source_done_fn *done, void *context)
{
    struct resolve *r = resolve_new(core, ae, done, context);
    json_put_text(r->source, "commit", commit);
    ask_file(r, commit);
}
