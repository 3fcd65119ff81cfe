/* See merge_request.h. */
#include "core/land/merge_request.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/forge/forge.h"

#define PUSH_MS 360000

/* No release of an earlier life of this app has used it. */
static char *branch_of(const json_t *row)
{
    return mem_format("slipway/%s-%.7s", json_text(row, "tag"), json_text(row, "commit"));
}

struct opening {
    struct core *core;
    struct app app;
    json_t *row;
    char *branch;
    void (*done)(void *context, json_t *ok, const struct err *error);
    void *context;
};

static void end(struct opening *o, json_t *ok, const struct err *error)
{
    o->done(o->context, ok, error);
    json_decref(o->row);
    free(o->branch);
    free(o);
}

static void on_merge(void *context, json_t *ok, const struct err *error)
{
    struct opening *o = context;
    struct err err = ERR_INIT;
    AUTO_JSON *reply = json_object();
    if (error) {
        end(o, NULL, error);
        return;
    }
    if (json_int(ok, "wait_s", 0) > 0) {
        (void)FAIL(&err, E_FORGE_BUSY, "the forge was asked too often");
        end(o, NULL, &err);
        return;
    }
    json_put_text(reply, "branch", o->branch);
    json_put_int(reply, "number", json_int(ok, "number", 0));
    json_put_text(reply, "link", json_text(ok, "link"));
    end(o, reply, NULL);
}

/* For who merges it: what is in it. */
static char *text_of(const struct opening *o)
{
    AUTO_BUF text = BUF_INIT(3000);
    size_t i;
    json_t *row;
    (void)buf_add_format(
        &text, "This commit was released and tried. Merge it as it is: then trunk has the very "
               "commit. Squashed, it counts as landed once trunk has all that is in it.\n\n");
    json_array_foreach(json_list(o->row, "branches"), i, row)
    {
        if (buf_add_format(&text, "- `%s` at %.12s\n", json_text_or(row, "branch", "?"),
                           json_text_or(row, "tip", "?")) < 0)
            break; /* there is room for some */
    }
    return str_dup(buf_str(&text));
}

static void on_branch(void *context, json_t *ok, const struct err *error)
{
    struct opening *o = context;
    struct err err = ERR_INIT;
    AUTO_JSON *origin = NULL;
    AUTO_JSON *forge = NULL;
    (void)ok;
    if (error) {
        end(o, NULL, error);
        return;
    }
    if (origin_row(o->core, o->app.id, &origin, &err) != 0 ||
        forge_row_of(o->core, json_int(origin, "forge_id", 0), &forge, &err) < 0) {
        (void)FAIL(&err, E_REF_PROTECTED, "the app follows no forge any more");
        end(o, NULL, &err);
        return;
    }
    AUTO_FREE char *text = text_of(o);
    AUTO_FREE char *title = mem_format("Release %s", json_text(o->row, "tag"));
    json_t *args = json_object();
    json_put_text(args, "project", json_text(origin, "project"));
    json_put_text(args, "source", o->branch);
    json_put_text(args, "target", o->app.trunk);
    json_put_text(args, "title", title);
    json_put_text(args, "text", text);
    FAULT("landing.merge_request");
    forge_ask(o->core, forge, "forge.merge", args, NULL, on_merge, o);
}

void merge_request_open(struct core *core, const struct app *app, const json_t *row,
                        void (*done)(void *context, json_t *ok, const struct err *error),
                        void *context)
{
    struct opening *o = mem_alloc(sizeof(*o));
    struct err err = ERR_INIT;
    AUTO_JSON *origin = NULL;
    *o = (struct opening){.core = core,
                          .app = *app,
                          .row = json_deep_copy(row),
                          .branch = branch_of(row),
                          .done = done,
                          .context = context};
    if (origin_row(core, app->id, &origin, &err) != 0 ||
        text_is(json_text(origin, "kind"), "git")) {
        (void)FAIL(&err, E_REF_PROTECTED,
                   "'%s' is protected where the repository lives: let Slipway's user push there",
                   app->trunk);
        end(o, NULL, &err);
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", app->name);
    json_put_text(args, "name", o->branch);
    json_put_text(args, "from", json_text(row, "commit"));
    origin_ask(core, app->id, "branch.create", args, PUSH_MS, on_branch, o);
}

void merge_request_drop(struct core *core, const struct app *app, const json_t *row,
                        void (*done)(void *context, json_t *ok, const struct err *error),
                        void *context)
{
    AUTO_FREE char *branch = branch_of(row);
    json_t *args = json_object();
    json_put_text(args, "app", app->name);
    json_put_text(args, "name", branch);
    json_put_text(args, "expect", json_text(row, "commit"));
    FAULT("landing.branch");
    origin_ask(core, app->id, "branch.delete", args, PUSH_MS, done, context);
}
