/* What the owner may ask about a request, and how it takes the body. The request is one block of
 * memory (struct, fields, header block) made and freed by http_connection.c. */
#include "io/http_priv.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include "base/check.h"
#include "base/mem.h"

struct str http_method(const struct http_request *r)
{
    return r->method;
}

struct str http_path(const struct http_request *r)
{
    return r->path;
}

struct str http_query(const struct http_request *r)
{
    return r->query;
}

int http_query_get(const struct http_request *r, const char *name, char **ret_value,
                   struct err *err)
{
    return http_query_find(r->query, name, ret_value, err);
}

size_t http_header_count(const struct http_request *r)
{
    return r->field_count;
}

void http_header_at(const struct http_request *r, size_t index, struct str *ret_name,
                    struct str *ret_value)
{
    ASSERT(index < r->field_count);
    const struct http_field *f = &r->fields[index];
    *ret_name = (struct str){r->block + f->name.at, f->name.length};
    *ret_value = (struct str){r->block + f->value.at, f->value.length};
}

struct str http_header(const struct http_request *r, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < r->field_count; i++) {
        struct str have, value;
        if (r->fields[i].name.length != length)
            continue;
        http_header_at(r, i, &have, &value);
        if (str_equal_nocase(have, name))
            return value;
    }
    return (struct str){NULL, 0};
}

int64_t http_content_length(const struct http_request *r)
{
    return r->content_length;
}

static void address_text(const struct sockaddr_storage *address, char ret_text[HTTP_ADDRESS_SIZE])
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, ret_text,
                        HTTP_ADDRESS_SIZE); /* the room is enough */
    else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        (void)inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, ret_text, HTTP_ADDRESS_SIZE);
    else
        (void)inet_ntop(AF_INET6, &six->sin6_addr, ret_text, HTTP_ADDRESS_SIZE);
}

static char *peer_name(struct http_connection *c)
{
    char text[HTTP_ADDRESS_SIZE] = "unknown";
    struct sockaddr_storage address = {0};
    int length = sizeof(address);
    if (c->server->unix_socket)
        return mem_strdup("unix");
    if (uv_tcp_getpeername(&c->socket.tcp, (struct sockaddr *)&address, &length) == 0)
        address_text(&address, text);
    return mem_strdup(text);
}

bool http_local(const struct http_request *r, char ret_text[HTTP_ADDRESS_SIZE])
{
    struct sockaddr_storage address = {0};
    int length = sizeof(address);
    if (r->connection->server->unix_socket ||
        uv_tcp_getsockname(&r->connection->socket.tcp, (struct sockaddr *)&address, &length) < 0)
        return false;
    address_text(&address, ret_text);
    return true;
}

const char *http_peer(const struct http_request *r)
{
    struct http_request *lazy = (struct http_request *)r; /* only the cached name changes */
    if (!lazy->peer)
        lazy->peer = peer_name(r->connection);
    return lazy->peer;
}

uid_t http_peer_uid(const struct http_request *r)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int fd;
    if (!r->connection->server->unix_socket || uv_fileno(&r->connection->socket.handle, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return (uid_t)-1;
    return peer.uid;
}

void http_set_context(struct http_request *r, void *context,
                      void (*on_close)(void *context, bool complete))
{
    r->context = context;
    r->on_close = on_close;
}

void *http_context(const struct http_request *r)
{
    return r->context;
}

/* Bodies. */

/* From now on the body is wanted: false when it cannot come any more. */
static bool body_accept(struct http_request *r, enum http_sink sink)
{
    struct http_connection *c = r->connection;
    CHECK_LOOP();
    if (r->refused || c->broken || c->state == STATE_CLOSED || r->answer == ANSWER_ENDED)
        return false;
    ASSERT(r->sink == SINK_NONE);
    r->sink = sink;
    c->window_ms = http_now();
    c->window_bytes = 0;
    http_connection_kick(c);
    return true;
}

static void body_invite(struct http_request *r)
{
    struct str line = STR("HTTP/1.1 100 Continue\r\n\r\n");
    uv_buf_t part = {.base = (char *)line.data, .len = line.length};
    if (!r->expect_continue || r->received > 0 || r->connection->parse.complete)
        return;
    r->expect_continue = false;
    if (r->answer == ANSWER_NONE)
        http_send(r->connection, &part, 1);
}

void http_body_collect(struct http_request *r, size_t max,
                       void (*on_body)(struct http_request *r, struct str body))
{
    struct err err = ERR_INIT;
    if (!body_accept(r, SINK_COLLECT))
        return;
    r->on_body = on_body;
    buf_init(&r->collected, max ? max : 1); /* a ceiling of 0 would be none */
    if (r->content_length > 0 && (uint64_t)r->content_length > max) {
        (void)FAIL(&err, E_TOO_LARGE, "the body is larger than %zu bytes", max);
        http_request_refuse(r, &err);
        return;
    }
    body_invite(r);
}

void http_body_stream(struct http_request *r,
                      void (*on_data)(struct http_request *r, struct str data),
                      void (*on_end)(struct http_request *r))
{
    if (!body_accept(r, SINK_STREAM))
        return;
    r->on_data = on_data;
    r->on_end = on_end;
    body_invite(r);
}

void http_body_pause(struct http_request *r, bool paused)
{
    CHECK_LOOP();
    r->paused = paused;
    r->connection->window_ms = http_now();
    r->connection->window_bytes = 0;
    http_connection_kick(r->connection);
}
