/* The self-made certificate, for every name that has none of its own.
 *
 * An authority of this installation is made once (`_authority.pem`, root only); its certificate
 * lies in data_dir/ca.crt for whoever wants to trust it. The edge's certificate is made from it,
 * and made anew when the domains of the app-envs need other names: trust in the authority stays
 * good. A wildcard covers one label, so an app-env's name needs `*.ENV.BASE`. All by openssl, a
 * child at a time; the names it covers stand beside it. */
#include <errno.h>
#include <sys/stat.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"
#include "io/child.h"

#define AUTHORITY "_authority"
#define NAMES_MAX 65536
#define NAMES_COUNT_MAX 500 /* beyond it a chain gets too large for clients */
#define DAYS_AUTHORITY "3650"
#define RENEW_DAYS 400
#define DAY_S 86400
#define DAYS_SELF "820" /* some clients refuse more than 825 */
#define CHILD_MS 20000

struct self_made {
    struct edge *edge;
    char *names; /* "subjectAltName=DNS:...,DNS:..." */
    void (*on_done)(struct edge *e, const struct err *error);
};

static void self_end(struct self_made *s, const struct err *error)
{
    s->on_done(s->edge, error);
    free(s->names);
    free(s);
}

/* Names. */

static void name_add(struct map *seen, struct buf *out, const char *name)
{
    if (seen->count >= NAMES_COUNT_MAX || map_get(seen, name))
        return;
    (void)map_put(seen, name, seen);
    (void)buf_add_format(out, ",DNS:%s", name);
}

/* "shop.dev.localhost" is covered by "*.dev.localhost"; a domain elsewhere by itself, unless it has
 * a certificate of its own. */
static void domain_add(const struct edge *e, struct map *seen, struct buf *out, const char *domain)
{
    AUTO_FREE char *own = edge_cert_path(e->paths.crt_store, domain);
    AUTO_FREE char *below = mem_format(".%s", e->settings->base_domain);
    const char *parent = strchr(domain, '.');
    if (file_exists(own))
        return;
    if (!str_ends(str_of(domain), below) || !parent) {
        name_add(seen, out, domain);
        return;
    }
    AUTO_FREE char *wildcard = mem_format("*%s", parent);
    name_add(seen, out, wildcard);
}

static char *names_of(const struct edge *e)
{
    const char *base = e->settings->base_domain;
    struct map seen;
    AUTO_BUF out = BUF_INIT(0);
    AUTO_FREE char *wildcard = mem_format("*.%s", base);
    map_init(&seen);
    (void)buf_add_format(&out, "subjectAltName=DNS:%s,DNS:%s", e->platform_host, base);
    name_add(&seen, &out, wildcard);
    for (size_t i = 0; i < e->table.count; i++) {
        const struct edge_app_env *one = e->table.items[i];
        for (size_t k = 0; !one->removed && k < one->domain_count; k++)
            domain_add(e, &seen, &out, one->domains[k]);
    }
    map_done(&seen);
    return buf_take(&out);
}

static char *names_path(const struct edge *e)
{
    return mem_format("%s/" EDGE_SELF ".names", e->paths.crt_store);
}

/* Made anew long before its end, and when the clock was wrong then. */
static bool is_young(const char *path)
{
    struct stat st;
    int64_t now = clock_wall_ms(clock_system()) / 1000;
    return stat(path, &st) == 0 && st.st_mtime < now + DAY_S &&
           st.st_mtime > now - RENEW_DAYS * DAY_S;
}

static bool names_are(const struct edge *e, const char *names)
{
    struct err ignored = ERR_INIT;
    AUTO_BUF before = BUF_INIT(NAMES_MAX);
    AUTO_FREE char *path = names_path(e);
    AUTO_FREE char *self = edge_cert_path(e->paths.crt_store, EDGE_SELF);
    return is_young(self) && file_read(path, NAMES_MAX, &before, &ignored) == 0 &&
           str_is(buf_str(&before), names);
}

bool edge_self_is_stale(struct edge *e)
{
    AUTO_FREE char *names = e->settings->edge_https ? names_of(e) : NULL;
    return names && !names_are(e, names);
}

/* openssl. */

static int openssl_run(struct self_made *s, const char *const *argv,
                       void (*on_exit)(void *context, const struct child_result *result),
                       struct err *err)
{
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .out = CHILD_COLLECT,
                              .error = CHILD_COLLECT,
                              .timeout_ms = CHILD_MS,
                              .on_exit = on_exit,
                              .context = s};
    return child_start(&spec, NULL, err);
}

static int self_save(struct self_made *s, const struct child_result *result, struct err *err)
{
    struct edge *e = s->edge;
    AUTO_FREE char *path = edge_cert_path(e->paths.crt_store, EDGE_SELF);
    AUTO_FREE char *names = names_path(e);
    FAULT("edge.self");
    if (child_check(result, "openssl", err) < 0 || file_write(path, result->out, 0600, err) < 0 ||
        file_write(names, str_of(s->names), 0600, err) < 0)
        return -1;
    return edge_cert_list_write(e, err);
}

static void self_ended(void *context, const struct child_result *result)
{
    struct self_made *s = context;
    struct err err = ERR_INIT;
    self_end(s, self_save(s, result, &err) < 0 ? &err : NULL);
}

static int self_make(struct self_made *s, struct err *err)
{
    struct edge *e = s->edge;
    AUTO_FREE char *subject = mem_format("/CN=%.64s", e->platform_host); /* no more fits */
    AUTO_FREE char *authority = edge_cert_path(e->paths.crt_store, AUTHORITY);
    const char *argv[] = {"/usr/bin/openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:P-256",
                          "-nodes",
                          "-days",
                          DAYS_SELF,
                          "-subj",
                          subject,
                          "-addext",
                          s->names,
                          "-addext",
                          "basicConstraints=CA:FALSE",
                          "-CA",
                          authority,
                          "-CAkey",
                          authority,
                          "-keyout",
                          "/dev/stdout",
                          NULL};
    log_info("edge: making a certificate", F_STR("names", s->names));
    return openssl_run(s, argv, self_ended, err);
}

/* The authority. */

/* What the world may see of it: from the last certificate on; its key stands before. */
static int authority_publish(const struct edge *e, struct str pem, struct err *err)
{
    AUTO_FREE char *path = settings_data(e->settings, "ca.crt");
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    const char *from = memmem(pem.data, pem.length, begin, strlen(begin));
    size_t left = from ? pem.length - (size_t)(from - pem.data) : 0;
    const char *to = from ? memmem(from, left, end, strlen(end)) : NULL;
    if (!to)
        return FAIL(err, E_CORRUPT, "openssl made no certificate");
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add(&text, from, (size_t)(to - from) + strlen(end));
    (void)buf_add_char(&text, '\n');
    return file_write(path, buf_str(&text), 0644, err);
}

static int authority_save(struct self_made *s, const struct child_result *result, struct err *err)
{
    AUTO_FREE char *path = edge_cert_path(s->edge->paths.crt_store, AUTHORITY);
    if (child_check(result, "openssl", err) < 0 ||
        authority_publish(s->edge, result->out, err) < 0 ||
        file_write(path, result->out, 0600, err) < 0)
        return -1;
    return self_make(s, err);
}

static void authority_ended(void *context, const struct child_result *result)
{
    struct self_made *s = context;
    struct err err = ERR_INIT;
    if (authority_save(s, result, &err) < 0)
        self_end(s, &err);
}

static int authority_make(struct self_made *s, struct err *err)
{
    AUTO_FREE char *subject =
        mem_format("/CN=Slipway of %.53s", s->edge->settings->base_domain); /* 64 in all */
    const char *argv[] = {"/usr/bin/openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:P-256",
                          "-nodes",
                          "-days",
                          DAYS_AUTHORITY,
                          "-subj",
                          subject,
                          "-addext",
                          "basicConstraints=critical,CA:TRUE,pathlen:0",
                          "-addext",
                          "keyUsage=critical,keyCertSign,cRLSign",
                          "-keyout",
                          "/dev/stdout",
                          NULL};
    log_info("edge: making this installation's certificate authority");
    return openssl_run(s, argv, authority_ended, err);
}

void edge_self_prepare(struct edge *e, void (*on_done)(struct edge *e, const struct err *error))
{
    struct err err = ERR_INIT;
    AUTO_FREE char *names = names_of(e);
    AUTO_FREE char *authority = edge_cert_path(e->paths.crt_store, AUTHORITY);
    if (names_are(e, names)) {
        on_done(e, edge_cert_list_write(e, &err) < 0 ? &err : NULL);
        return;
    }
    struct self_made *s = mem_alloc(sizeof(*s));
    *s = (struct self_made){e, TAKE(names), on_done};
    int made = file_exists(authority) ? self_make(s, &err) : authority_make(s, &err);
    if (made < 0)
        self_end(s, &err);
}
