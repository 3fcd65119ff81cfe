/* Writing HAProxy's configuration. See edge_config.h.
 *
 * Traffic: hosts.map leads from the host name to the app-env's name, routes.map from there to
 * "live|next|share|wait|wait": one entry decides, also how long each slot's answers may take, and
 * is never guarded by the health of servers. Backends of both slots exist before they are needed.
 * Nothing here comes from outside as text: names, domains and addresses were checked when the state
 * was parsed. */
#include "host/edge/edge_config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/file.h"
#include "host/edge/edge_plan.h"
#include "wire/edge_log.h"

#define CONFIG_MAX (256u << 20)

void edge_paths_init(struct edge_paths *p, const struct settings *s)
{
    *p = (struct edge_paths){
        .folder = settings_run(s, "edge"),
        .own = settings_run(s, "edge/haproxy"),
        .conf = settings_run(s, "edge/conf"),
        .config = settings_run(s, "edge/conf/haproxy.cfg"),
        .config_next = settings_run(s, "edge/conf/haproxy.cfg.next"),
        .hosts = settings_run(s, "edge/conf/hosts.map"),
        .routes = settings_run(s, "edge/conf/routes.map"),
        .crt_list = settings_run(s, "edge/conf/crt-list.txt"),
        .crt_folder = settings_run(s, "edge/conf/certificates"),
        .pid = settings_run(s, "edge/haproxy/haproxy.pid"),
        .admin = settings_run(s, "edge/haproxy/admin.sock"),
        .handover = settings_run(s, "edge/haproxy/handover.sock"),
        .log = settings_run(s, "edge/log.sock"),
        .git = settings_run(s, "git.sock"),
        .store = settings_data(s, "host/edge"),
        .state = settings_data(s, "host/edge/state.jsonl"),
        .crt_store = settings_data(s, "host/edge/certificates"),
    };
}

void edge_paths_done(struct edge_paths *p)
{
    char **all[] = {&p->folder, &p->own,      &p->conf,     &p->config,     &p->config_next,
                    &p->hosts,  &p->routes,   &p->crt_list, &p->crt_folder, &p->pid,
                    &p->admin,  &p->handover, &p->log,      &p->git,        &p->store,
                    &p->state,  &p->crt_store};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        free(*all[i]);
        *all[i] = NULL;
    }
}

/* By descriptor: what stands there is a folder, not a link that somebody put in its place. */
static int folder_make(const char *path, uid_t uid, gid_t gid, mode_t mode, struct err *err)
{
    if (file_make_dirs(path, mode & 0777, err) < 0)
        return -1;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open the folder '%s'", path);
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return FAIL_SYS(err, "cannot set the owner of '%s'", path);
    return 0;
}

/* The edge may write in one folder only, in which root does nothing by name; each is made after the
 * one above it is root's. */
int edge_paths_make(const struct edge_paths *p, uid_t uid, gid_t gid, struct err *err)
{
    if (folder_make(p->folder, 0, gid, 0750, err) < 0 ||
        folder_make(p->own, uid, gid, 0700, err) < 0 ||
        folder_make(p->conf, 0, gid, 02750, err) < 0 || /* its files get the edge's group */
        folder_make(p->crt_folder, 0, gid, 02750, err) < 0 ||
        folder_make(p->store, 0, 0, 0700, err) < 0)
        return -1;
    return folder_make(p->crt_store, 0, 0, 0700, err);
}

int64_t edge_config_top(const struct edge_table *t)
{
    int64_t top = edge_table_top(t);
    return (top + EDGE_POOL_STEP) / EDGE_POOL_STEP * EDGE_POOL_STEP;
}

/* Sections. */

static void print_global(const struct edge_config *c, struct buf *out)
{
    const struct edge_paths *p = c->paths;
    (void)buf_add_format(out,
                         "# Made by Slipway; every start and reload writes it anew.\n"
                         "global\n"
                         "  stats socket %s mode 600 level admin\n"
                         "  stats socket %s mode 600 level admin expose-fd listeners\n"
                         "  stats timeout 7d\n"
                         "  nbthread %ld\n"
                         "  maxconn %ld\n"
                         "  hard-stop-after 6h\n"
                         "  spread-checks 20\n"
                         "  ssl-default-bind-options ssl-min-ver TLSv1.2\n"
                         "  log %s len %d format raw local0\n",
                         p->admin, p->handover, c->threads, c->connections, p->log, EDGE_LOG_MAX);
}

/* Connections that failed are retried for every method, empty answers only where repeating does no
 * harm. */
static void print_defaults(struct buf *out)
{
    (void)buf_add_text(
        out, "defaults edge\n"
             "  mode http\n"
             "  log global\n"
             "  option dontlognull\n"
             "  timeout connect 2s\n"
             "  timeout client 60s\n"
             "  timeout server 60s\n"
             "  timeout queue 5s\n"
             "  timeout http-request 10s\n"
             "  timeout http-keep-alive 60s\n"
             "  timeout tunnel 1h\n"
             "  http-error status 502 content-type text/plain string "
             "\"502 the app broke the connection before it answered\\n\"\n"
             "  http-error status 503 content-type text/plain string "
             "\"503 no instance of this app answers: see its instances and their output\\n\"\n"
             "  http-error status 504 content-type text/plain string "
             "\"504 the app did not answer in its time (proxy.response_timeout)\\n\"\n"
             "defaults app from edge\n"
             "  balance leastconn\n"
             "  retries 3\n"
             "  option redispatch 1\n"
             "  retry-on conn-failure empty-response\n"
             "  http-request set-timeout server var(txn.wait) if { var(txn.wait) -m int gt 0 }\n"
             "  http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE }\n");
}

static void print_bind(const struct edge_config *c, int64_t port, const char *more, struct buf *out)
{
    const char *address = c->settings->edge_address;
    bool any = text_is(address, "*");
    (void)buf_add_format(out, "  bind %s:%lld%s%s\n",
                         any && c->ipv6 ? "::"
                         : any          ? "*"
                                        : address,
                         (long long)port, any && c->ipv6 ? " v4v6" : "", more);
}

static void print_binds(const struct edge_config *c, struct buf *out)
{
    print_bind(c, c->settings->edge_http, "", out);
    if (c->settings->edge_https) {
        AUTO_FREE char *more = mem_format(" ssl crt-list %s alpn h2,http/1.1", c->paths->crt_list);
        print_bind(c, c->settings->edge_https, more, out);
    }
}

/* Who asks for what: name and route, and the ids of the trace. */
static void print_lookup(const struct edge_config *c, struct buf *out)
{
    (void)buf_add_format(
        out,
        "  option idle-close-on-response\n"
        "  log-format \"%s\"\n"
        /* HAProxy takes 2^64 for 0 here and hands it on as it is */
        "  http-request reject if { req.fhdr(content-length) -m len 19: }\n"
        "  http-request set-var(txn.t0) date(0,us)\n"
        "  http-request set-var(txn.name) req.fhdr(host),field(1,:),rtrim(.),lower,map_str(%s)\n"
        "  http-request set-var(txn.route) var(txn.name),map_str(%s)\n"
        "  acl traced req.fhdr(traceparent) -m reg ^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$\n"
        "  acl untraced req.fhdr(traceparent) -m beg 00-00000000000000000000000000000000\n"
        "  http-request set-var(txn.tid) req.fhdr(traceparent),field(2,-) if traced !untraced\n"
        "  http-request set-var(txn.psp) req.fhdr(traceparent),field(3,-) if traced !untraced\n"
        "  http-request set-var(txn.tid) uuid(),regsub(-,,g) if !{ var(txn.tid) -m found }\n"
        "  http-request set-var(txn.sid) uuid(),xxh64,hex,lower\n",
        &EDGE_LOG_FORMAT[1], c->paths->hosts, c->paths->routes);
}

/* What only the edge may say about a client is taken out of what the client said, also where an
 * app's framework would read '_' as '-', and no header can be made hop-by-hop. */
static void print_headers(struct buf *out)
{
    (void)buf_add_text(
        out,
        "  http-request del-header "
        "^((x[-_])?forwarded([-_].*)?|x[-_](real|client|cluster[-_]client|remote)[-_](ip|addr)|"
        "true[-_]client[-_]ip|x[-_]original[-_].*|x[-_]rewrite[-_]url|x[-_]request[-_]id|proxy)$ "
        "-m reg\n"
        "  acl upgrades req.fhdr(connection) -m sub -i upgrade\n"
        "  http-request set-header connection upgrade if upgrades\n"
        "  http-request del-header connection if !upgrades\n"
        "  http-request set-header x-forwarded-for %[src]\n"
        "  http-request set-header x-real-ip %[src]\n"
        "  http-request set-header x-forwarded-proto https if { ssl_fc }\n"
        "  http-request set-header x-forwarded-proto http if !{ ssl_fc }\n"
        "  http-request set-header x-forwarded-host %[req.fhdr(host)]\n"
        "  http-request set-header x-forwarded-port %[dst_port]\n"
        "  http-request set-header x-request-id %[var(txn.tid)]\n"
        "  http-request set-header traceparent 00-%[var(txn.tid)]-%[var(txn.sid)]-01\n");
}

/* Passwords and tokens do not travel in the clear beyond this machine, unless that was asked for.
 */
static void print_platform_guard(const struct edge_config *c, struct buf *out)
{
    if (c->settings->insecure_http)
        return;
    if (c->settings->edge_https)
        (void)buf_add_format(out,
                             "  http-request redirect code 308 location "
                             "https://%s:%lld%%[capture.req.uri] if platform !{ ssl_fc } !local\n",
                             c->platform_host, (long long)c->settings->edge_https);
    else
        (void)buf_add_text(
            out, "  http-request return status 403 content-type text/plain string "
                 "\"403 the platform is not served without TLS: set edge_https (or insecure_http) "
                 "in its settings\\n\" if platform !{ ssl_fc } !local\n");
}

static void print_routing(const struct edge_config *c, struct buf *out)
{
    (void)buf_add_text(out, "  acl platform var(txn.name) -m str " EDGE_PLATFORM "\n"
                            "  acl local src 127.0.0.0/8 ::1\n");
    print_platform_guard(c, out);
    (void)buf_add_text(
        out, "  use_backend platform_git if platform { path_beg /git/ }\n"
             "  use_backend platform_api if platform\n"
             "  http-request return status 421 content-type text/plain string "
             "\"421 no app serves this domain: nothing was released there yet, or no app of this "
             "installation has it. The app's page in the console names its domains\\n\" if "
             "!platform !{ var(txn.route) -m found }\n"
             "  http-request return status 503 content-type text/plain hdr retry-after 30 string "
             "\"503 this app is in maintenance: please come back later\\n\" "
             "if { var(txn.route) -m str !maintenance }\n"
             "  http-request return status 503 content-type text/plain hdr retry-after 5 string "
             "\"503 nothing is released here yet: submit a release of this app to this "
             "environment\\n\" if { var(txn.route) -m str !none }\n"
             "  http-request set-var(txn.share) var(txn.route),field(3,|)\n"
             "  http-request set-var(txn.to) var(txn.route),field(1,|)\n"
             "  http-request set-var(txn.wait) var(txn.route),field(4,|)\n"
             "  http-request set-var(txn.draw) rand(10000),sub(txn.share)\n"
             "  http-request set-var(txn.to) var(txn.route),field(2,|) "
             "if { var(txn.draw) -m int lt 0 }\n"
             "  http-request set-var(txn.wait) var(txn.route),field(5,|) "
             "if { var(txn.draw) -m int lt 0 }\n"
             "  use_backend %[var(txn.to)]\n"
             "  default_backend unready\n");
}

static void print_platform(const struct edge_config *c, struct buf *out)
{
    (void)buf_add_format(
        out,
        "backend platform_api from edge\n"
        "  timeout server 1h\n"
        "  server api %s\n"
        "backend platform_git from edge\n"
        "  timeout server 1h\n"
        "  server git unix@%s\n"
        "backend unready from edge\n"
        "  http-request return status 503 content-type text/plain hdr retry-after 1 string "
        "\"503 the edge is being prepared for this app: see slipway doctor if this lasts\\n\"\n",
        c->settings->api_listen, c->paths->git);
}

static void print_slot(const struct edge_app_env *e, int64_t id, enum edge_slot slot,
                       struct buf *out)
{
    (void)buf_add_format(out, "backend e%lld%c from app\n", (long long)id, edge_slot_letter(slot));
    if (!e)
        return;
    for (size_t i = 0; i < e->slots[slot].count; i++) {
        const struct edge_server *s = &e->slots[slot].servers[i];
        (void)buf_add_format(out, "  server %s %s:%lld weight %lld " EDGE_SERVER_CHECK "\n",
                             s->name, s->address, (long long)s->port, (long long)s->weight);
    }
}

static void print_backends(const struct edge_config *c, struct buf *out)
{
    int64_t top = edge_config_top(c->table);
    for (int64_t id = 1; id <= top; id++) {
        const struct edge_app_env *e = edge_table_get(c->table, id);
        if (e && e->removed)
            continue;
        print_slot(e, id, EDGE_SLOT_A, out);
        print_slot(e, id, EDGE_SLOT_B, out);
    }
}

void edge_config_print(const struct edge_config *c, struct buf *out)
{
    print_global(c, out);
    print_defaults(out);
    (void)buf_add_text(out, "frontend edge from edge\n");
    print_binds(c, out);
    print_lookup(c, out);
    print_headers(out);
    print_routing(c, out);
    print_platform(c, out);
    print_backends(c, out);
}

void edge_config_print_hosts(const struct edge_config *c, struct buf *out)
{
    (void)buf_add_format(out, "%s " EDGE_PLATFORM "\n", c->platform_host);
    for (size_t i = 0; i < c->table->count; i++) {
        const struct edge_app_env *e = c->table->items[i];
        for (size_t k = 0; k < e->domain_count; k++)
            (void)buf_add_format(out, "%s %s\n", e->domains[k], e->name);
    }
}

void edge_config_print_routes(const struct edge_config *c, struct buf *out)
{
    char route[EDGE_ROUTE_MAX];
    for (size_t i = 0; i < c->table->count; i++) {
        const struct edge_app_env *e = c->table->items[i];
        if (e->removed)
            continue;
        edge_app_env_route(e, route);
        (void)buf_add_format(out, "%s %s\n", e->name, route);
    }
}

static int print_to(const char *path, const struct edge_config *c,
                    void (*print)(const struct edge_config *, struct buf *), struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    print(c, &text);
    return file_write(path, buf_str(&text), 0640, err);
}

int edge_config_write(const struct edge_config *c, struct err *err)
{
    if (print_to(c->paths->hosts, c, edge_config_print_hosts, err) < 0 ||
        print_to(c->paths->routes, c, edge_config_print_routes, err) < 0)
        return -1;
    return print_to(c->paths->config_next, c, edge_config_print, err);
}

/* What stands before the backends of the app-envs. */
static struct str general_part(struct str text)
{
    const char *end = text.data ? memmem(text.data, text.length, "\nbackend e1", 11) : NULL;
    return end ? (struct str){text.data, (size_t)(end - text.data)} : text;
}

static int64_t time_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

bool edge_config_is_current(const struct edge_config *c)
{
    AUTO_BUF now = BUF_INIT(0);
    AUTO_BUF then = BUF_INIT(CONFIG_MAX);
    struct stat config, pid;
    struct err ignored = ERR_INIT;
    if (stat(c->paths->config, &config) < 0 || lstat(c->paths->pid, &pid) < 0)
        return false;
    if (time_of(&config) > time_of(&pid)) /* written, but never started */
        return false;
    if (file_read(c->paths->config, CONFIG_MAX, &then, &ignored) < 0)
        return false;
    edge_config_print(c, &now);
    struct str a = general_part(buf_str(&now)), b = general_part(buf_str(&then));
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}
