/* http-parser behind two calls. This is the only file that knows it: llhttp drops in by changing
 * parser_run and the three callbacks.
 *
 * The parser is a second opinion on a head that the scan accepted, and the decoder of bodies. It is
 * never given a byte beyond the message: the end of a body is known from its length or from the
 * chunk guard, and both must agree. Pure. */
#include "io/http_priv.h"
#include <http_parser.h>
#include "base/check.h"
#include "base/mem.h"

_Static_assert(sizeof(struct http_parser) <= sizeof(((struct http_parse *)0)->state),
               "struct http_parse must hold the parser");

static struct http_parser *parser_of(struct http_parse *p)
{
    return (struct http_parser *)(void *)p->state;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_parse *p = parser->data;
    p->keep_alive = http_should_keep_alive(parser) != 0;
    parser->upgrade = 0; /* we never upgrade: what follows is HTTP */
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t length)
{
    struct http_parse *p = parser->data;
    if (p->on_body)
        p->on_body(p->context, (struct str){at, length});
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_parse *p = parser->data;
    p->complete = true;
    return 0;
}

/* True when the parser took all of it. */
static bool parser_run(struct http_parse *p, struct str data)
{
    static const http_parser_settings settings = {.on_headers_complete = on_headers_complete,
                                                  .on_body = on_body,
                                                  .on_message_complete = on_message_complete};
    struct http_parser *parser = parser_of(p);
    size_t used = http_parser_execute(parser, &settings, data.data, data.length);
    return used == data.length && HTTP_PARSER_ERRNO(parser) == HPE_OK;
}

/* Does the parser see the message that the scan saw? */
static bool parser_agrees(struct http_parse *p, struct str block, const struct http_head *head)
{
    const struct http_parser *parser = parser_of(p);
    struct str method = {block.data + head->method.at, head->method.length};
    bool bodyless = !head->chunked && head->content_length == 0;
    if (!str_is(method, http_method_str((enum http_method)parser->method)))
        return false;
    if (p->complete != bodyless)
        return false;
    if (bodyless)
        return true;
    if (((parser->flags & F_CHUNKED) != 0) != head->chunked)
        return false;
    return head->chunked || parser->content_length == (uint64_t)head->content_length;
}

int http_parse_head(struct http_parse *p, struct str block, const struct http_head *head,
                    struct err *err)
{
    struct http_parser *parser = parser_of(p);
    http_parser_init(parser, HTTP_REQUEST);
    parser->data = p;
    p->guard = (struct http_guard){0};
    p->chunked = head->chunked;
    p->left = (uint64_t)head->content_length;
    p->keep_alive = p->complete = false;
    if (!parser_run(p, block) || !parser_agrees(p, block, head))
        return FAIL(err, E_REQUEST_INVALID, "malformed request");
    return 0;
}

int http_parse_body(struct http_parse *p, struct str data, size_t *ret_used, struct err *err)
{
    size_t used = data.length;
    ASSERT(!p->complete);
    if (p->chunked) {
        if (http_guard_take(&p->guard, data, &used, err) < 0)
            return -1;
    } else {
        used = p->left < used ? (size_t)p->left : used;
        p->left -= used;
    }
    bool over = p->chunked ? p->guard.state == GUARD_DONE : p->left == 0;
    if (!parser_run(p, (struct str){data.data, used}) || p->complete != over)
        return FAIL(err, E_REQUEST_INVALID, "malformed body");
    *ret_used = used;
    return 0;
}
