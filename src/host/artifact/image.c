/* The OCI image: manifest, config and provenance as blobs, and back. The manifest's digest is the
 * artifact's name. Layers are uncompressed, so a layer's digest is its diff id too. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include "base/check.h"
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"

#ifdef __aarch64__ /* as OCI calls what we are compiled for: that is what builds make */
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "amd64"
#endif
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"
#define NOTE_BASE "io.slipway.base"
#define NOTE_PROVENANCE "io.slipway.provenance"

static json_t *descriptor(const char *type, const char *digest, int64_t size)
{
    json_t *d = json_object();
    json_put_text(d, "mediaType", type);
    json_put_text(d, "digest", digest);
    json_put_int(d, "size", size);
    return d;
}

static int blob_size(const char *digest, int64_t *ret_size, struct err *err)
{
    AUTO_FREE char *path = artifact_blob_path(digest);
    struct stat st;
    if (stat(path, &st) < 0)
        return FAIL(err, E_NOT_FOUND, "blob '%s' is not stored here", digest);
    *ret_size = st.st_size;
    return 0;
}

static json_t *env_list(const json_t *env)
{
    json_t *list = json_array();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)env, name, value)
    {
        AUTO_FREE char *pair = mem_format("%s=%s", name, json_string_value(value));
        json_push(list, json_str_value(str_of(pair)));
    }
    return list;
}

static json_t *run_config(const struct artifact_parts *parts)
{
    json_t *config = json_object();
    json_t *command = json_object_get(parts->image, "command");
    int64_t port = json_int(parts->image, "port", 0);
    if (json_is_array(command))
        json_put(config, "Cmd", json_deep_copy(command));
    json_put(config, "Env", env_list(json_dict(parts->image, "env")));
    if (port > 0) {
        AUTO_FREE char *name = mem_format("%lld/tcp", (long long)port);
        json_t *ports = json_object();
        json_put(ports, name, json_object());
        json_put(config, "ExposedPorts", ports);
    }
    if (json_text(parts->image, "user"))
        json_put_text(config, "User", json_text(parts->image, "user"));
    json_put_text(config, "WorkingDir", parts->workdir);
    return config;
}

static void put_time(json_t *object, const char *name, int64_t seconds)
{
    char text[32];
    time_t t = (time_t)seconds;
    struct tm tm;
    ASSERT(gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
    json_put_text(object, name, text);
}

static json_t *image_config(const struct artifact_parts *parts)
{
    json_t *config = json_object(), *rootfs = json_object(), *ids = json_array();
    put_time(config, "created", parts->created);
    json_put_text(config, "architecture", ARCHITECTURE);
    json_put_text(config, "os", "linux");
    json_put(config, "config", run_config(parts));
    if (strcmp(parts->base, "host") != 0)
        json_push(ids, json_str_value(str_of(parts->base)));
    json_push(ids, json_str_value(str_of(parts->layer)));
    json_put_text(rootfs, "type", "layers");
    json_put(rootfs, "diff_ids", ids);
    json_put(config, "rootfs", rootfs);
    return config;
}

static int put_json(json_t *value, char digest[SHA_DIGEST], int64_t *ret_size, struct err *err)
{
    AUTO_FREE char *text = json_print(value);
    if (artifact_blob_put(str_of(text), digest, err) < 0)
        return -1;
    *ret_size = (int64_t)strlen(text);
    return 0;
}

static int layer_list(const struct artifact_parts *parts, json_t *layers, struct err *err)
{
    int64_t size = 0;
    if (strcmp(parts->base, "host") != 0) {
        if (blob_size(parts->base, &size, err) < 0)
            return -1;
        json_push(layers, descriptor(TYPE_LAYER, parts->base, size));
    }
    json_push(layers, descriptor(TYPE_LAYER, parts->layer, parts->layer_bytes));
    return 0;
}

int artifact_assemble(const struct artifact_parts *parts, char ret_artifact[SHA_DIGEST],
                      struct err *err)
{
    char digest[SHA_DIGEST];
    int64_t size = 0;
    AUTO_JSON *manifest = json_object(), *config = image_config(parts);
    json_t *layers = json_array(), *notes = json_object();
    json_put_int(manifest, "schemaVersion", 2);
    json_put_text(manifest, "mediaType", TYPE_MANIFEST);
    json_put(manifest, "layers", layers);
    json_put(manifest, "annotations", notes);
    json_put_text(notes, NOTE_BASE, parts->base);
    if (layer_list(parts, layers, err) < 0 || put_json(config, digest, &size, err) < 0)
        return -1;
    json_put(manifest, "config", descriptor(TYPE_CONFIG, digest, size));
    if (parts->provenance) {
        if (put_json((json_t *)parts->provenance, digest, &size, err) < 0)
            return -1;
        json_put_text(notes, NOTE_PROVENANCE, digest);
    }
    return put_json(manifest, ret_artifact, &size, err);
}

static int take_digest(const json_t *object, const char *name, char digest[SHA_DIGEST],
                       struct err *err)
{
    const char *text = json_text(object, name);
    if (!text || !str_is_digest(str_of(text)))
        return FAIL(err, E_CORRUPT, "the manifest has no digest in '%s'", name);
    memcpy(digest, text, SHA_DIGEST);
    return 0;
}

static int read_layers(const json_t *manifest, struct artifact_layers *l, struct err *err)
{
    json_t *list = json_list(manifest, "layers"), *notes = json_dict(manifest, "annotations");
    size_t count = json_array_size(list);
    bool host = text_is(json_text(notes, NOTE_BASE), "host");
    const char *provenance = json_text(notes, NOTE_PROVENANCE);
    if (count != (host ? 1u : 2u))
        return FAIL(err, E_CORRUPT, "the manifest has %zu layers", count);
    if (take_digest(json_dict(manifest, "config"), "digest", l->config, err) < 0 ||
        take_digest(json_array_get(list, count - 1), "digest", l->app, err) < 0)
        return -1;
    if (host)
        memcpy(l->base, "host", sizeof("host"));
    else if (take_digest(json_array_get(list, 0), "digest", l->base, err) < 0)
        return -1;
    if (provenance && str_is_digest(str_of(provenance)))
        memcpy(l->provenance, provenance, SHA_DIGEST);
    return 0;
}

static int64_t sum_sizes(const json_t *manifest)
{
    int64_t sum = json_int(json_dict(manifest, "config"), "size", 0);
    size_t i;
    json_t *layer;
    json_array_foreach(json_list(manifest, "layers"), i, layer) sum += json_int(layer, "size", 0);
    return sum;
}

int artifact_layers(const char *artifact, struct artifact_layers *ret_layers, struct err *err)
{
    AUTO_JSON *manifest = NULL;
    struct artifact_layers layers = {0};
    if (!str_is_digest(str_of(artifact)))
        return FAIL(err, E_FIELD_INVALID, "'%s' is no artifact digest", artifact);
    if (!artifact_blob_exists(artifact))
        return FAIL(err, E_NOT_FOUND, "artifact '%s' is not stored here", artifact);
    if (artifact_blob_json(artifact, &manifest, err) < 0 || read_layers(manifest, &layers, err) < 0)
        return err_wrap(err, "artifact '%s'", artifact);
    layers.bytes = sum_sizes(manifest);
    *ret_layers = layers;
    return 0;
}

static json_t *env_dict(const json_t *list)
{
    json_t *env = json_object(), *pair;
    size_t i;
    json_array_foreach((json_t *)list, i, pair)
    {
        const char *text = json_string_value(pair), *equals = text ? strchr(text, '=') : NULL;
        if (!equals)
            continue;
        AUTO_FREE char *name = mem_strndup(text, (size_t)(equals - text));
        json_put_text(env, name, equals + 1);
    }
    return env;
}

/* OCI's words to ours. */
json_t *image_run_config(const json_t *oci)
{
    json_t *from = json_dict(oci, "config"), *to = json_object();
    const char *port = json_object_iter_key(json_object_iter(json_dict(from, "ExposedPorts")));
    if (json_is_array(json_object_get(from, "Cmd")))
        json_put(to, "command", json_deep_copy(json_object_get(from, "Cmd")));
    json_put(to, "env", env_dict(json_list(from, "Env")));
    if (port)
        json_put_int(to, "port", strtoll(port, NULL, 10));
    if (json_text(from, "User"))
        json_put_text(to, "user", json_text(from, "User"));
    if (json_text(from, "WorkingDir"))
        json_put_text(to, "workdir", json_text(from, "WorkingDir"));
    return to;
}
