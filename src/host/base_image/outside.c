/* How builds go out: the resolvers, and from the settings the proxy, the mirrors and the CA bundle
 * (an egress that re-signs TLS is ordinary in companies). All of it is bound or set for the run, so
 * that no layer holds it. */
#include "base/file.h"
#include "base/mem.h"
#include "host/base_image/base_image.h"
#include "host/network/network.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Every tool has a name of its own for the CA file. */
static const char *const bundle_names[] = {
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",     "GIT_SSL_CAINFO",    "PIP_CERT",
    "CURL_CA_BUNDLE",      "npm_config_cafile", "CARGO_HTTP_CAINFO", "REQUESTS_CA_BUNDLE"};
static const char *const proxy_names[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};

static void add_bind(const char *source, const char *target, struct sandbox_bind *binds,
                     size_t *count)
{
    if (file_exists(source))
        binds[(*count)++] = (struct sandbox_bind){.source = source, .target = target};
}

void base_image_outside(const struct settings *s, struct arena *arena, json_t *env,
                        struct sandbox_bind *binds, size_t *bind_count)
{
    const char *bundle = s->ca_bundle[0] ? s->ca_bundle : BUNDLE;
    add_bind(arena_dup(arena, str_of(network_resolv_path())), "/etc/resolv.conf", binds,
             bind_count);
    if (file_exists(bundle)) {
        add_bind(arena_dup(arena, str_of(bundle)), BUNDLE, binds, bind_count);
        for (size_t i = 0; i < ARRAY_SIZE(bundle_names); i++)
            json_put_text(env, bundle_names[i], BUNDLE);
    }
    for (size_t i = 0; i < ARRAY_SIZE(proxy_names) && s->http_proxy[0]; i++)
        json_put_text(env, proxy_names[i], s->http_proxy);
    if (s->npm_registry[0])
        json_put_text(env, "npm_config_registry", s->npm_registry);
}

const char *const *base_image_env(struct arena *arena, const json_t *env)
{
    size_t count = 0;
    const char **list = arena_alloc(arena, (json_object_size(env) + 1) * sizeof(*list));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)env, name, value) if (json_is_string(value)) list[count++] =
        arena_format(arena, "%s=%s", name, json_string_value(value));
    return list;
}
