/* Certificates: stored as data_dir/host/edge/certificates/DOMAIN.pem (root only), copied to the
 * folder that HAProxy reads before each configuration is checked.
 *
 * A new one is first given to the running HAProxy, which parses it as the edge's user (root never
 * does) and says whether chain and key belong together; a good one is served at once, then it goes
 * to the files: a bad one in a file would stop the next start. The first of the list is the one for
 * every other name: the self-made one (edge_self.c). */
#include <dirent.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "host/edge/edge_priv.h"
#include "io/message.h"

#define PEM_MAX 65536
#define PAYLOAD_MAX 15000 /* what fits into HAProxy's buffer */

/* Files. */

char *edge_cert_path(const char *folder, const char *domain)
{
    return mem_format("%s/%s.pem", folder, domain);
}

static int cert_copy(struct edge *e, const char *domain, struct err *err)
{
    AUTO_FREE char *from = edge_cert_path(e->paths.crt_store, domain);
    AUTO_FREE char *to = edge_cert_path(e->paths.crt_folder, domain);
    AUTO_BUF pem = BUF_INIT(PEM_MAX);
    if (file_read(from, PEM_MAX, &pem, err) < 0)
        return -1;
    int result = file_write(to, buf_str(&pem), 0640, err);
    explicit_bzero(pem.data, pem.length);
    return result;
}

/* "shop.example.com.pem" -> "shop.example.com"; NULL for what is no certificate of a domain. */
static char *cert_domain(const char *file)
{
    struct str name = str_of(file);
    if (!str_ends(name, ".pem"))
        return NULL;
    name.length -= 4;
    return str_is_domain(name) ? str_dup(name) : NULL;
}

/* The self-made one is the first and so the one for every name that no other bears. It stands for
 * the platform's name only: of two that bear a name HAProxy takes the first. */
static int list_add(struct edge *e, const char *domain, struct buf *list, struct err *err)
{
    bool self = strcmp(domain, EDGE_SELF) == 0;
    if (cert_copy(e, domain, err) < 0)
        return -1;
    (void)buf_add_format(list, "%s/%s.pem %s\n", e->paths.crt_folder, domain,
                         self ? e->platform_host : domain);
    return 0;
}

/* Copy all, and write the list. One that cannot be copied is left out. */
int edge_cert_list_write(struct edge *e, struct err *err)
{
    AUTO_BUF list = BUF_INIT(0);
    struct dirent *entry;
    if (list_add(e, EDGE_SELF, &list, err) < 0)
        return -1;
    DIR *folder = opendir(e->paths.crt_store);
    while (folder && (entry = readdir(folder))) {
        struct err one = ERR_INIT;
        AUTO_FREE char *domain = cert_domain(entry->d_name);
        if (domain && list_add(e, domain, &list, &one) < 0)
            log_error("edge: leaving out a certificate", F_STR("domain", domain), F_ERR(&one));
    }
    if (folder)
        (void)closedir(folder);
    return file_write(e->paths.crt_list, buf_str(&list), 0640, err);
}

void edge_cert_prepare(struct edge *e, void (*on_done)(struct edge *e, const struct err *error))
{
    if (e->settings->edge_https)
        edge_self_prepare(e, on_done);
    else
        on_done(e, NULL);
}

/* PEM, read as text only: known blocks, base64 lines. */

static bool pem_is_base64(struct str line)
{
    for (size_t i = 0; i < line.length; i++) {
        char c = line.data[i];
        bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    c == '+' || c == '/' || c == '=';
        if (!good)
            return false;
    }
    return line.length > 0;
}

static const char *const pem_ends[] = {"-----END CERTIFICATE-----", "-----END PRIVATE KEY-----",
                                       "-----END EC PRIVATE KEY-----",
                                       "-----END RSA PRIVATE KEY-----"};
static const char *const pem_begins[] = {
    "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----"};

static int pem_begin(struct str line)
{
    for (int i = 0; i < (int)ARRAY_SIZE(pem_begins); i++)
        if (str_is(line, pem_begins[i]))
            return i;
    return -1;
}

/* Only the blocks, without empty lines (they would end a payload). */
static int pem_clean(const char *pem, struct buf *out, struct err *err)
{
    struct str rest = str_of(pem);
    int inside = -1, keys = 0, certificates = 0;
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        if (line.length > 0 && line.data[line.length - 1] == '\r')
            line.length--;
        if (inside < 0) {
            inside = pem_begin(line);
            if (inside < 0)
                continue; /* text between the blocks */
            *(inside == 0 ? &certificates : &keys) += 1;
        } else if (str_is(line, pem_ends[inside])) {
            inside = -1;
        } else if (!pem_is_base64(line)) {
            return FAIL(err, E_VALUE_INVALID, "the certificate holds a line that is not PEM");
        }
        (void)buf_add_str(out, line);
        (void)buf_add_char(out, '\n');
    }
    if (inside >= 0 || keys != 1 || certificates < 1)
        return FAIL(err, E_VALUE_INVALID,
                    "a certificate takes at least one certificate and one private key, as PEM");
    if (out->failed)
        return FAIL(err, E_TOO_LARGE, "the certificate chain is larger than %d bytes", PAYLOAD_MAX);
    return 0;
}

/* Storing one, in steps. */

struct cert_change {
    struct edge *edge;
    struct ticket *ticket;
    char *domain;
    char *path; /* in the folder that HAProxy reads: its name at the runtime socket */
    bool fresh; /* HAProxy does not have it yet */
    struct buf pem;
};
static bool cert_busy; /* HAProxy knows one transaction at a time */

static void cert_end(struct cert_change *c, const struct err *error)
{
    cert_busy = false;
    if (error)
        ticket_fail(c->ticket, error);
    else
        ticket_ok(c->ticket, NULL);
    if (c->pem.data)
        explicit_bzero(c->pem.data, c->pem.length);
    buf_done(&c->pem);
    free(c->domain);
    free(c->path);
    free(c);
}

static int cert_said(const struct edge_answers *answers, size_t index, const char *wanted,
                     struct err *err)
{
    if (answers->error) {
        *err = *answers->error;
        return -1;
    }
    struct str got = edge_answer_at(answers, index);
    if (memmem(got.data, got.length, wanted, strlen(wanted)))
        return 0;
    int length = got.length > 160 ? 160 : (int)got.length;
    return FAIL(err, E_VALUE_INVALID, "the edge refuses the certificate: %.*s", length, got.data);
}

static int cert_save(struct cert_change *c, struct err *err)
{
    AUTO_FREE char *path = edge_cert_path(c->edge->paths.crt_store, c->domain);
    FAULT("edge.certificate");
    if (file_write(path, buf_str(&c->pem), 0600, err) < 0)
        return -1;
    return edge_cert_list_write(c->edge, err);
}

static void cert_forget(struct cert_change *c)
{
    AUTO_FREE char *text = mem_format("abort ssl cert %s\n%s%s\n", c->path,
                                      c->fresh ? "del ssl cert " : "show ssl cert ", c->path);
    if (c->edge->cli)
        edge_cli_run(c->edge->cli, str_of(text), 2, NULL, NULL);
}

static void cert_listed(void *context, const struct edge_answers *answers)
{
    struct cert_change *c = context;
    struct err err = ERR_INIT;
    if (cert_said(answers, 0, "Success!", &err) < 0) { /* it is in the files */
        log_warn("edge: certificate stored, serving it with a reload", F_STR("domain", c->domain),
                 F_ERR(&err));
        edge_run_reload(c->edge);
    }
    cert_end(c, NULL);
}

static void cert_list(struct cert_change *c)
{
    AUTO_FREE char *text = mem_format("add ssl crt-list %s <<\n%s %s\n\n", c->edge->paths.crt_list,
                                      c->path, c->domain);
    edge_cli_run(c->edge->cli, str_of(text), 1, cert_listed, c);
}

static void cert_taken(void *context, const struct edge_answers *answers)
{
    struct cert_change *c = context;
    struct err err = ERR_INIT;
    size_t first = c->fresh ? 1 : 0;
    bool good = cert_said(answers, first, "Transaction", &err) == 0 &&
                cert_said(answers, first + 1, "Success!", &err) == 0;
    if (!good && !answers->error)
        cert_forget(c);
    if (!good || cert_save(c, &err) < 0)
        cert_end(c, &err);
    else if (c->fresh)
        cert_list(c);
    else
        cert_end(c, NULL);
}

static void cert_offer(struct cert_change *c)
{
    AUTO_BUF text = BUF_INIT(0);
    if (c->fresh)
        (void)buf_add_format(&text, "new ssl cert %s\n", c->path);
    (void)buf_add_format(&text, "set ssl cert %s <<\n", c->path);
    (void)buf_add_str(&text, buf_str(&c->pem));
    (void)buf_add_format(&text, "\ncommit ssl cert %s\n", c->path);
    edge_cli_run(c->edge->cli, buf_str(&text), c->fresh ? 3 : 2, cert_taken, c);
    explicit_bzero(text.data, text.length);
}

static int cert_may(const struct edge *e, const char *domain, struct err *err)
{
    if (!str_is_domain(str_of(domain)))
        return FAIL(err, E_DOMAIN_INVALID, "'%s' is not a domain", domain);
    if (!e->settings->edge_https)
        return FAIL(err, E_STATE_CONFLICT, "the edge has no HTTPS listener: set edge_https");
    if (e->state != EDGE_UP)
        return FAIL(err, E_UNAVAILABLE, "the edge is not up");
    if (cert_busy)
        return FAIL(err, E_TOO_MANY, "another certificate is being stored");
    return 0;
}

void edge_cert_store(struct edge *e, const char *domain, const char *pem, struct ticket *ticket)
{
    struct err err = ERR_INIT;
    AUTO_BUF clean = BUF_INIT(PAYLOAD_MAX);
    if (cert_may(e, domain, &err) < 0 || pem_clean(pem, &clean, &err) < 0) {
        ticket_fail(ticket, &err);
        return;
    }
    struct cert_change *c = mem_alloc(sizeof(*c));
    *c = (struct cert_change){.edge = e, .ticket = ticket, .domain = mem_strdup(domain)};
    c->path = edge_cert_path(e->paths.crt_folder, domain);
    c->fresh = !file_exists(c->path);
    c->pem = clean;
    clean = (struct buf){0};
    cert_busy = true;
    cert_offer(c);
}
