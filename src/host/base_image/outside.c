/* How builds go out: the resolvers, and from the settings the proxy, the mirrors and the CA bundle
 * (an egress that re-signs TLS is ordinary in companies). All of it is bound or set for the run, so
 * that no layer holds it. Most tools take a variable; Maven, cargo, npm's logins and Java's
 * certificates need files, which are made at the host's start in run_dir/outside (root's alone:
 * they may hold passwords) and bound where each tool looks by itself. */
#include <openssl/evp.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/base_image/base_image.h"
#include "host/base_image/base_image_priv.h"
#include "host/network/network.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define TRUSTSTORE "/etc/slipway/cacerts.jks"
#define NPMRC "/etc/slipway/npmrc"
#define MAVEN                                                                                      \
    "/etc/maven/settings.xml"       /* Debian's global one; MAVEN_ARGS names it to Maven 3.9       \
                                     */
#define CARGO "/.cargo/config.toml" /* cargo looks in every folder up to / */

/* Every tool has a name of its own for the CA file. */
static const char *const bundle_names[] = {
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",     "GIT_SSL_CAINFO",    "PIP_CERT",
    "CURL_CA_BUNDLE",      "npm_config_cafile", "CARGO_HTTP_CAINFO", "REQUESTS_CA_BUNDLE"};
static const char *const proxy_names[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
static const struct {
    const char *name, *target;
} files[] = {
    {"cacerts.jks", TRUSTSTORE}, {"npmrc", NPMRC}, {"settings.xml", MAVEN}, {"cargo.toml", CARGO}};

static char *file_path(const struct settings *s, const char *name)
{
    AUTO_FREE char *below = mem_format("outside/%s", name);
    return settings_run(s, below);
}

/* ---- the files ---- */

static void add_xml(struct buf *out, const char *name, const char *text)
{
    (void)buf_add_format(out, "<%s>", name); /* no ceiling, here and below */
    for (; *text; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                                            : NULL;
        if (entity)
            (void)buf_add_text(out, entity);
        else
            (void)buf_add_char(out, *text);
    }
    (void)buf_add_format(out, "</%s>", name);
}

static void add_login(struct buf *out, const char *url)
{
    const struct login *login = login_of(url);
    if (!login)
        return;
    add_xml(out, "username", login->user);
    add_xml(out, "password", login->password);
}

/* "a,.b" as Java's tools want it: "a|*.b". */
static char *java_hosts(const char *no_proxy)
{
    struct buf out = BUF_INIT(0);
    for (struct str rest = str_of(no_proxy); rest.data && rest.length;) {
        struct str one = str_cut(&rest, ',');
        (void)buf_add_format(&out, "%s%s%.*s", out.length ? "|" : "",
                             str_starts(one, ".") ? "*" : "", (int)one.length, one.data);
    }
    return out.length ? buf_take(&out) : mem_strdup("");
}

static void add_maven_proxy(const struct settings *s, struct buf *out)
{
    struct mirror proxy;
    if (!mirror_parse(s->http_proxy, &proxy))
        return;
    AUTO_FREE char *hosts = java_hosts(s->no_proxy);
    static const char *const schemes[] = {"http", "https"};
    (void)buf_add_text(out, "<proxies>");
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        (void)buf_add_format(out,
                             "<proxy><id>slipway-%s</id><active>true</active><protocol>%s"
                             "</protocol><port>%u</port>",
                             schemes[i], schemes[i], (unsigned)proxy.port);
        add_xml(out, "host", proxy.host);
        add_login(out, s->http_proxy);
        add_xml(out, "nonProxyHosts", hosts);
        (void)buf_add_text(out, "</proxy>");
    }
    (void)buf_add_text(out, "</proxies>\n");
}

void outside_maven(const struct settings *s, struct buf *out)
{
    if (!s->maven_mirror[0] && !s->http_proxy[0])
        return;
    (void)buf_add_text(out, "<settings>\n");
    add_maven_proxy(s, out);
    if (s->maven_mirror[0]) {
        (void)buf_add_text(out, "<servers><server><id>slipway</id>");
        add_login(out, s->maven_mirror);
        (void)buf_add_text(out, "</server></servers>\n<mirrors><mirror><id>slipway</id>"
                                "<mirrorOf>external:*</mirrorOf>");
        add_xml(out, "url", s->maven_mirror);
        (void)buf_add_text(out, "</mirror></mirrors>\n");
    }
    (void)buf_add_text(out, "</settings>\n");
}

void outside_cargo(const struct settings *s, struct buf *out)
{
    if (!s->cargo_index[0])
        return;
    AUTO_FREE char *url = login_url(s->cargo_index);
    (void)buf_add_format(out,
                         "[source.crates-io]\nreplace-with = \"slipway\"\n[source.slipway]\n"
                         "registry = \"sparse+%s%s\"\n",
                         url, str_ends(str_of(url), "/") ? "" : "/");
}

/* npm takes no login from the URL. */
void outside_npm(const struct settings *s, struct buf *out)
{
    const struct login *login = login_of(s->npm_registry);
    const char *begin = strstr(s->npm_registry, "://");
    unsigned char text[1024];
    if (!login || !begin)
        return;
    AUTO_FREE char *both = mem_format("%s:%s", login->user, login->password);
    if (strlen(both) > 700)
        return; /* no login is so long: it is asked for and refused by name */
    (void)EVP_EncodeBlock(text, (const unsigned char *)both, (int)strlen(both));
    (void)buf_add_format(out, "registry=%s\n%s%s:_auth=%s\n", s->npm_registry, begin + 1,
                         str_ends(str_of(begin), "/") ? "" : "/", (const char *)text);
}

static int write_file(const struct settings *s, const char *name, const struct buf *text,
                      struct err *err)
{
    AUTO_FREE char *path = file_path(s, name);
    return text->length ? file_write(path, buf_str(text), 0644, err) : 0;
}

int base_image_outside_init(const struct settings *s, struct err *err)
{
    AUTO_FREE char *folder = settings_run(s, "outside");
    AUTO_FREE char *store = file_path(s, "cacerts.jks");
    AUTO_BUF maven = BUF_INIT(0);
    AUTO_BUF cargo = BUF_INIT(0);
    AUTO_BUF npm = BUF_INIT(0);
    if (logins_load(s->mirror_logins, err) < 0 || file_remove_tree(folder, err) < 0 ||
        file_make_dirs(folder, 0700, err) < 0)
        return -1;
    outside_maven(s, &maven);
    outside_cargo(s, &cargo);
    outside_npm(s, &npm);
    if (s->ca_bundle[0] && truststore_write(s->ca_bundle, store, err) < 0)
        return err_wrap(err, "ca_bundle");
    if (write_file(s, "settings.xml", &maven, err) < 0 ||
        write_file(s, "cargo.toml", &cargo, err) < 0)
        return -1;
    return write_file(s, "npmrc", &npm, err);
}

/* ---- what a run gets ---- */

static void add_bind(const char *source, const char *target, struct sandbox_bind *binds,
                     size_t *count)
{
    if (file_exists(source))
        binds[(*count)++] = (struct sandbox_bind){.source = source, .target = target};
}

static void put_url(json_t *env, const char *name, const char *url)
{
    AUTO_FREE char *whole = login_url(url);
    if (url[0])
        json_put_text(env, name, whole);
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
    for (size_t i = 0; i < ARRAY_SIZE(proxy_names); i++)
        put_url(env, proxy_names[i], s->http_proxy);
    if (s->no_proxy[0]) {
        json_put_text(env, "no_proxy", s->no_proxy);
        json_put_text(env, "NO_PROXY", s->no_proxy);
    }
}

/* Java's tools know neither the bundle nor the variables of a proxy. */
static void put_java(const struct settings *s, json_t *env)
{
    AUTO_BUF options = BUF_INIT(0);
    struct mirror proxy;
    if (s->ca_bundle[0])
        (void)buf_add_text(&options, "-Djavax.net.ssl.trustStore=" TRUSTSTORE
                                     " -Djavax.net.ssl.trustStoreType=JKS"
                                     " -Djavax.net.ssl.trustStorePassword=" TRUSTSTORE_PASSWORD);
    if (mirror_parse(s->http_proxy, &proxy)) {
        AUTO_FREE char *hosts = java_hosts(s->no_proxy);
        (void)buf_add_format(&options,
                             "%s-Dhttp.proxyHost=%s -Dhttp.proxyPort=%u -Dhttps.proxyHost=%s "
                             "-Dhttps.proxyPort=%u%s%s",
                             options.length ? " " : "", proxy.host, (unsigned)proxy.port,
                             proxy.host, (unsigned)proxy.port,
                             hosts[0] ? " -Dhttp.nonProxyHosts=" : "", hosts);
    }
    if (options.length)
        json_put_text(env, "JAVA_TOOL_OPTIONS", options.data);
}

void base_image_mirrors(const struct settings *s, struct arena *arena, json_t *env,
                        struct sandbox_bind *binds, size_t *bind_count)
{
    struct mirror pip;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO_FREE char *path = file_path(s, files[i].name);
        add_bind(arena_dup(arena, str_of(path)), files[i].target, binds, bind_count);
    }
    if (s->npm_registry[0])
        json_put_text(env, "npm_config_registry", s->npm_registry);
    if (login_of(s->npm_registry))
        json_put_text(env, "npm_config_globalconfig", NPMRC);
    put_url(env, "PIP_INDEX_URL", s->pip_index);
    put_url(env, "UV_INDEX_URL", s->pip_index);
    if (text_starts(s->pip_index, "http://") && mirror_parse(s->pip_index, &pip))
        json_put_text(env, "PIP_TRUSTED_HOST", pip.host);
    put_url(env, "GOPROXY", s->go_proxy);
    if (s->maven_mirror[0] || s->http_proxy[0])
        json_put_text(env, "MAVEN_ARGS", "--global-settings " MAVEN);
    put_java(s, env);
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
