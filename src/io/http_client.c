/* The blocking HTTP client of the CLI: one libcurl handle, so that a connection is reused.
 *
 * Answers go to a buffer with a ceiling, or line by line to a callback. Redirects are not
 * followed: our API has none. */
#include "io/http_client.h"
#include <curl/curl.h>
#include "base/check.h"
#include "base/mem.h"

#define BODY_MAX (64u << 20)
#define HEADERS_MAX (64u << 10)
#define LINE_MAX_BYTES (8u << 20)
#define CONNECT_MS 10000L

struct http_client {
    CURL *curl;
    char *unix_socket;
    char *base_url;
    char *bearer;
    char *ca_file;
    char *ca_pem;
    char *proxy;
    struct curl_slist *pin;
    struct curl_slist *headers; /* wiped: one may hold a secret */
    size_t body_max;
    int64_t timeout_ms;
};
struct transfer { /* one call */
    struct http_client *client;
    struct buf body;
    struct buf headers;
    struct buf line; /* begun, without its end */
    bool (*on_line)(void *context, struct str line);
    void *context;
    bool stopped;
    bool too_large;
};

static char *copy_or_null(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

struct http_client *http_client_new(const struct http_client_options *options)
{
    struct http_client *c = mem_alloc(sizeof(*c));
    ASSERT(options->base_url);
    c->unix_socket = copy_or_null(options->unix_socket);
    c->base_url = mem_strdup(options->base_url);
    c->bearer = copy_or_null(options->bearer);
    c->ca_file = copy_or_null(options->ca_file);
    c->ca_pem = copy_or_null(options->ca_pem);
    c->proxy = copy_or_null(options->proxy);
    c->pin = options->pin ? curl_slist_append(NULL, options->pin) : NULL;
    for (const char *const *h = options->headers; h && *h; h++)
        c->headers = curl_slist_append(c->headers, *h);
    c->body_max = options->body_max ? options->body_max : BODY_MAX;
    c->timeout_ms = options->timeout_ms;
    c->curl = curl_easy_init();
    ASSERT(c->curl);
    return c;
}

static void wipe(struct curl_slist *list)
{
    for (const struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    wipe(c->headers);
    curl_slist_free_all(c->pin);
    free(c->ca_pem);
    free(c->proxy);
    if (c->bearer)
        explicit_bzero(c->bearer, strlen(c->bearer));
    free(c->bearer);
    free(c->unix_socket);
    free(c->base_url);
    free(c->ca_file);
    free(c);
}

static bool is_good(struct http_client *c)
{
    long status = 0;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status); /* stays 0 on failure */
    return status >= 200 && status <= 299;
}

/* Give every complete line; the rest waits in `line`. */
static bool take_lines(struct transfer *t, struct str data)
{
    while (data.length > 0 && !t->stopped) {
        struct str rest = data;
        struct str line = str_cut(&rest, '\n');
        if (buf_add_str(&t->line, line) < 0)
            return false;
        if (line.length == data.length)
            return true;
        struct str whole = buf_str(&t->line);
        if (whole.length > 0 && whole.data[whole.length - 1] == '\r')
            whole.length--;
        t->stopped = !t->on_line(t->context, whole);
        buf_clear(&t->line);
        data = rest;
    }
    return true;
}

static size_t on_bytes(char *data, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    struct str piece = {data, size * count};
    if (t->on_line && is_good(t->client))
        t->too_large = !take_lines(t, piece);
    else
        t->too_large = buf_add_str(&t->body, piece) < 0;
    return t->too_large || t->stopped ? 0 : piece.length; /* 0 ends the transfer */
}

/* A status line begins them anew: an answer may come after "100 Continue". */
static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct transfer *t = context;
    struct str piece = {data, size * count};
    if (str_starts(piece, "HTTP/"))
        buf_clear(&t->headers);
    t->too_large = buf_add_str(&t->headers, piece) < 0;
    return t->too_large ? 0 : piece.length;
}

static struct curl_slist *headers_for(const struct http_client *c, const struct http_sent *body)
{
    struct curl_slist *list = NULL;
    for (const struct curl_slist *h = c->headers; h; h = h->next)
        list = curl_slist_append(list, h->data);
    if (c->bearer) {
        AUTO_FREE char *line = mem_format("Authorization: Bearer %s", c->bearer);
        list = curl_slist_append(list, line);
        explicit_bzero(line, strlen(line));
    }
    if (body) {
        AUTO_FREE char *line = mem_format("Content-Type: %s", body->type);
        list = curl_slist_append(list, line);
    }
    return curl_slist_append(list, "Expect:"); /* our server answers early by itself */
}

/* All options anew: a call leaves nothing behind for the next but the connection. */
static void set_up(struct http_client *c, struct transfer *t, const char *method, const char *url,
                   const struct http_sent *body)
{
    CURL *h = c->curl;
    curl_easy_reset(h);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    if (c->unix_socket)
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
    if (c->unix_socket || c->proxy)
        curl_easy_setopt(h, CURLOPT_PROXY, c->unix_socket ? "" : c->proxy);
    if (c->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    if (c->ca_pem) {
        struct curl_blob blob = {c->ca_pem, strlen(c->ca_pem), CURL_BLOB_COPY};
        curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(h, CURLOPT_CAPATH, NULL); /* those and no others */
    }
    if (c->pin)
        curl_easy_setopt(h, CURLOPT_RESOLVE, c->pin);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    if (body) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->bytes.length);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, body->bytes.data);
    } else if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
}

static int explain(const struct http_client *c, const struct transfer *t, CURLcode code,
                   struct err *err)
{
    const char *where = c->unix_socket ? c->unix_socket : c->base_url;
    if (t->too_large)
        return FAIL(err, E_TOO_LARGE, "the answer of '%s' is too large", where);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return FAIL(err, E_TIMEOUT, "'%s' did not answer in time", where);
    if (c->proxy && *c->proxy)
        return FAIL(err, E_UNAVAILABLE, "cannot talk to '%s' through the proxy '%s': %s", where,
                    c->proxy, curl_easy_strerror(code));
    return FAIL(err, E_UNAVAILABLE, "cannot talk to '%s': %s", where, curl_easy_strerror(code));
}

static int perform(struct http_client *c, struct transfer *t, const char *method, const char *path,
                   const struct http_sent *body, struct http_answer *ret_answer, struct err *err)
{
    AUTO_FREE char *url = mem_format("%s%s", c->base_url, path);
    struct curl_slist *headers = headers_for(c, body);
    long status = 0;
    t->client = c;
    buf_init(&t->body, c->body_max);
    buf_init(&t->headers, HEADERS_MAX);
    buf_init(&t->line, LINE_MAX_BYTES);
    set_up(c, t, method, url, body);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(c->curl);
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status); /* stays 0 on failure */
    wipe(headers);
    if (code == CURLE_OK && t->on_line && !t->stopped && t->line.length > 0)
        (void)t->on_line(t->context, buf_str(&t->line)); /* the last line has no end */
    buf_done(&t->line);
    if (code != CURLE_OK && !t->stopped) {
        buf_done(&t->body);
        buf_done(&t->headers);
        return explain(c, t, code, err);
    }
    ret_answer->status = (int)status;
    ret_answer->body = t->body;
    ret_answer->headers = t->headers;
    return 0;
}

void http_answer_done(struct http_answer *a)
{
    buf_done(&a->body);
    buf_done(&a->headers);
}

struct str http_answer_header(const struct http_answer *a, const char *name)
{
    for (struct str rest = buf_str(&a->headers); rest.length > 0;) {
        struct str line = str_cut(&rest, '\n'), key = str_cut(&line, ':');
        if (!line.data || !str_equal_nocase(key, name))
            continue;
        if (str_ends(line, "\r"))
            line.length--;
        return str_trim(line);
    }
    return (struct str){0};
}

int http_client_send(struct http_client *c, const char *method, const char *path,
                     const struct http_sent *body, struct http_answer *ret_answer, struct err *err)
{
    struct transfer t = {0};
    return perform(c, &t, method, path, body, ret_answer, err);
}

int http_client_call(struct http_client *c, const char *method, const char *path, const char *body,
                     struct http_answer *ret_answer, struct err *err)
{
    const struct http_sent sent = {"application/json", str_of(body ? body : "")};
    return http_client_send(c, method, path, body ? &sent : NULL, ret_answer, err);
}

int http_client_lines(struct http_client *c, const char *method, const char *path,
                      bool (*on_line)(void *context, struct str line), void *context,
                      struct http_answer *ret_answer, struct err *err)
{
    struct transfer t = {.on_line = on_line, .context = context};
    return perform(c, &t, method, path, NULL, ret_answer, err);
}
