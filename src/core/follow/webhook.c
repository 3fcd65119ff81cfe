/* The webhook of an app at its forge: asked for once the app follows, made by the forge's API. Who
 * may not make one there is told what to enter by hand; until then the app is looked at now and
 * then. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "core/follow/follow_priv.h"
#include "core/forge/forge.h"
#include "core/tick/tick.h"
#include "wire/settings.h"

struct asked { /* the reply is about this origin and no other */
    struct fetch *t;
    char *url;
};

struct made {
    struct follow *f;
    int64_t app_id;
    const char *state, *text;
};

static int apply(void *context, struct err *err)
{
    const struct made *m = context;
    return origin_set_hook(m->f->core, m->app_id, m->state, m->text, err);
}

static void on_hook(void *context, json_t *ok, const struct err *error)
{
    struct asked *a = context;
    struct fetch *t = a->t;
    struct follow *f = t->f;
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    AUTO_FREE char *url = a->url;
    struct made m = {f, t->app_id, error ? "refused" : "made", error ? error->text : NULL};
    t->hook_asking = false;
    free(a);
    if (origin_row(f->core, t->app_id, &row, &err) != 0)
        return; /* it follows no more */
    if (!text_is(json_text(row, "url"), url)) {
        webhook_ask(f, t->app_id); /* another one by now */
        return;
    }
    struct forge_pause *p = pause_find(f, json_int(row, "forge_id", 0), PAUSE_HOOK);
    if (!pause_answer(f, p, ok, error))
        return; /* asked again with the next look */
    if (tick_input(f->core->tick, "a webhook", apply, &m, &err) < 0)
        log_warn("a webhook was made, and could not be noted", F_ERR(&err));
}

void webhook_ask(struct follow *f, int64_t app_id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    AUTO_JSON *forge = NULL;
    AUTO_SECRET secret = {0};
    struct fetch *t = fetch_find(f, app_id, true);
    if (t->hook_asking || origin_row(f->core, app_id, &row, &err) != 0 ||
        !text_is(json_text(row, "mode"), "follow") || text_is(json_text(row, "kind"), "git") ||
        !text_is(json_text(row, "hook"), "none"))
        return;
    if (clock_mono_ms(f->core->clock) <
        pause_find(f, json_int(row, "forge_id", 0), PAUSE_HOOK)->until_ms)
        return;
    if (forge_row_of(f->core, json_int(row, "forge_id", 0), &forge, &err) < 0 ||
        origin_hook_secret(f->core, app_id, &secret, &err) < 0) {
        log_warn("a webhook cannot be asked for", F_ERR(&err));
        return;
    }
    AUTO_FREE char *address = settings_address(f->core->settings);
    AUTO_FREE char *url = mem_format("%s/api/v1/hooks/%s", address, json_text(row, "app"));
    json_t *args = json_object();
    json_put_text(args, "project", json_text(row, "project"));
    json_put_text(args, "url", url);
    struct asked *a = mem_alloc(sizeof(*a));
    *a = (struct asked){t, mem_strdup(json_text_or(row, "url", ""))};
    t->hook_asking = true;
    forge_ask(f->core, forge, "forge.hook", args, &secret, on_hook, a);
}
