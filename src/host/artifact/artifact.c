/* The artifact store: its folders, an instance's root from an artifact, prepare and stat.
 *
 * Everything here can be rebuilt or asked again: a crash leaves temporary files that the next start
 * removes. Only retention deletes what has a name. */
#include "host/artifact/artifact.h"
#include <sys/stat.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact_priv.h"

static struct artifact_store the_store;

struct artifact_store *artifact_store_get(void)
{
    ASSERT(the_store.root);
    return &the_store;
}

char *artifact_store_path(const char *below)
{
    return mem_format("%s/%s", artifact_store_get()->root, below);
}

int artifact_init(struct host *h, struct err *err)
{
    static const char *const folders[] = {"", "blobs/sha256", "blobs/tmp", "unpacked", "trash"};
    the_store.host = h;
    the_store.root = settings_data(h->settings, "host");
    map_init(&the_store.unpacking);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *path = artifact_store_path(folders[i]);
        if (file_make_dirs(path, 0700, err) < 0)
            return err_wrap(err, "artifact store");
    }
    trash_empty();
    if (trash_add_all("blobs/tmp", err) < 0 || layer_init(err) < 0 || host_base_init(err) < 0)
        return err_wrap(err, "artifact store");
    return 0;
}

void artifact_add_user(const struct artifact_user *user)
{
    struct artifact_store *store = artifact_store_get();
    ASSERT(store->user_count < ARRAY_SIZE(store->users));
    store->users[store->user_count++] = *user;
}

void artifact_in_use(bool (*fn)(void *context, const char *artifact), void *context)
{
    artifact_add_user(&(struct artifact_user){.in_use = fn, .context = context});
}

static int add_lower(struct artifact_root *root, const char *digest, struct err *err)
{
    size_t at = 0;
    if (!artifact_is_unpacked(digest))
        return FAIL(err, E_STATE_CONFLICT, "layer '%s' is not unpacked here: prepare it first",
                    digest);
    while (root->lower[at])
        at++;
    ASSERT(at + 1 < ARRAY_SIZE(root->lower));
    AUTO_FREE char *path = artifact_unpacked_path(digest);
    root->lower[at] = arena_dup(&root->memory, str_of(path));
    return 0;
}

static int add_base(struct artifact_root *root, const char *base, struct err *err)
{
    struct layer_record record = {0};
    if (strcmp(base, "host") == 0) {
        root->base = "host";
        host_base_root(root);
        return 0;
    }
    if (!str_is_digest(str_of(base)))
        return FAIL(err, E_FIELD_INVALID, "'%s' is no base", base);
    root->base = arena_dup(&root->memory, str_of(base));
    if (add_lower(root, base, err) < 0 || layer_record_read(base, &record, err) < 0)
        return -1;
    return record.below[0] ? add_lower(root, record.below, err) : 0;
}

static int fill_root(const char *artifact, struct artifact_root *root, struct err *err)
{
    struct artifact_layers layers;
    AUTO_JSON *config = NULL;
    if (artifact_layers(artifact, &layers, err) < 0 ||
        artifact_blob_json(layers.config, &config, err) < 0 ||
        add_lower(root, layers.app, err) < 0 || add_base(root, layers.base, err) < 0)
        return -1;
    root->config = image_run_config(config);
    return 0;
}

int artifact_root(const char *artifact, struct artifact_root *ret_root, struct err *err)
{
    struct artifact_root root = {0};
    arena_init(&root.memory);
    if (fill_root(artifact, &root, err) < 0) {
        artifact_root_done(&root);
        return err_wrap(err, "root of artifact '%s'", artifact);
    }
    *ret_root = root;
    return 0;
}

int artifact_base_root(const char *base, struct artifact_root *ret_root, struct err *err)
{
    struct artifact_root root = {0};
    arena_init(&root.memory);
    if (add_base(&root, base, err) < 0) {
        artifact_root_done(&root);
        return err_wrap(err, "base '%s'", base);
    }
    *ret_root = root;
    return 0;
}

void artifact_root_done(struct artifact_root *root)
{
    json_decref(root->config);
    arena_done(&root->memory);
    *root = (struct artifact_root){0};
}

/* release.prepare: app layer, then base layer; each at most once. */
struct prepare {
    struct ticket *ticket;
    struct artifact_layers layers;
    int64_t started_us;
    bool reused;
};

static void prepare_end(struct prepare *p, const struct err *error)
{
    if (error) {
        ticket_fail(p->ticket, error);
    } else {
        json_t *ok = json_object();
        json_put_int(ok, "ms", (clock_mono_us() - p->started_us) / 1000);
        json_put_int(ok, "bytes", p->layers.bytes);
        json_put_bool(ok, "reused", p->reused);
        ticket_ok(p->ticket, ok);
    }
    free(p);
}

static void prepare_base_done(void *context, const struct err *error)
{
    prepare_end(context, error);
}

static void prepare_app_done(void *context, const struct err *error)
{
    struct prepare *p = context;
    if (error || strcmp(p->layers.base, "host") == 0) {
        prepare_end(p, error);
        return;
    }
    artifact_unpack(p->layers.base, ARTIFACT_LAYER_BASE, prepare_base_done, p);
}

static bool all_unpacked(const struct artifact_layers *l)
{
    return artifact_is_unpacked(l->app) &&
           (strcmp(l->base, "host") == 0 || artifact_is_unpacked(l->base));
}

void artifact_verb_prepare(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct prepare *p = mem_alloc(sizeof(*p));
    AUTO_JSON *config = NULL;
    (void)context; /* the one host of this process */
    p->started_us = clock_mono_us();
    if (artifact_layers(json_text(m->args, "artifact"), &p->layers, &err) < 0 ||
        artifact_blob_json(p->layers.config, &config, &err) < 0) {
        message_fail(m, &err);
        free(p);
        return;
    }
    FAULT("artifact.prepare");
    p->ticket = message_ticket(m);
    p->reused = all_unpacked(&p->layers);
    artifact_unpack(p->layers.app, ARTIFACT_LAYER_APP, prepare_app_done, p);
}

/* What is known of how it was made; the blob is hashed again before it is shown. */
static int provenance_read(const char *artifact, json_t **ret_ok, struct err *err)
{
    struct artifact_layers layers;
    json_t *value = NULL;
    if (artifact_layers(artifact, &layers, err) < 0)
        return -1;
    if (!layers.provenance[0])
        return FAIL(err, E_NOT_FOUND, "artifact '%s' says nothing of how it was made", artifact);
    if (artifact_blob_json(layers.provenance, &value, err) < 0)
        return -1;
    *ret_ok = json_object();
    json_put_text(*ret_ok, "artifact", artifact);
    json_put_text(*ret_ok, "digest", layers.provenance);
    json_put(*ret_ok, "provenance", value);
    return 0;
}

void artifact_verb_provenance(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    json_t *ok = NULL;
    (void)context; /* the one host of this process */
    if (provenance_read(json_text(m->args, "artifact"), &ok, &err) < 0)
        message_fail(m, &err);
    else
        message_ok(m, ok);
}

void artifact_verb_stat(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct artifact_layers layers = {0};
    const char *artifact = json_text(m->args, "artifact");
    (void)context; /* the one host of this process */
    int r = artifact_layers(artifact, &layers, &err);
    if (r < 0 && err.kind != E_NOT_FOUND) {
        message_fail(m, &err);
        return;
    }
    bool present = r == 0 && artifact_blob_exists(layers.app) &&
                   (strcmp(layers.base, "host") == 0 || artifact_blob_exists(layers.base));
    json_t *ok = json_object();
    json_put_bool(ok, "present", present);
    json_put_int(ok, "bytes", layers.bytes);
    json_put_bool(ok, "unpacked", present && all_unpacked(&layers));
    json_put_text(ok, "base", layers.base);
    message_ok(m, ok);
}
