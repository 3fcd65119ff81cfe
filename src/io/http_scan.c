/* The strict look at a header block, and at the framing of a chunked body.
 *
 * Two servers that read the same bytes differently are how requests are smuggled: so everything
 * that leaves room for a second opinion is refused here, before the parser sees it. What passes is
 * a subset of RFC 9112: CRLF line ends only, no folding, one Host, one length or "chunked" but not
 * both, plain digits, origin-form targets, seven methods. Pure; all errors go to the peer. */
#include "io/http_priv.h"
#include "base/mem.h"

#define EXTENSION_MAX 256u
#define TRAILERS_MAX 8192u
#define SIZE_DIGITS_MAX 15u   /* of a chunk, hexadecimal */
#define LENGTH_DIGITS_MAX 18u /* of a content length */

#define INVALID(err, text) FAIL((err), E_REQUEST_INVALID, text)

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_token(unsigned char c)
{
    static const bool marks[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1};
    return is_alnum(c) || marks[c];
}

static bool is_value(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool is_target(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

static bool is_host(unsigned char c)
{
    return is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
}

/* How many bytes at the beginning are of this kind. */
static size_t span_of(struct str text, bool (*kind)(unsigned char c))
{
    size_t length = 0;
    while (length < text.length && kind((unsigned char)text.data[length]))
        length++;
    return length;
}

static struct str view(struct str block, struct http_span span)
{
    return (struct str){block.data + span.at, span.length};
}

static struct http_span span(struct str block, const char *data, size_t length)
{
    return (struct http_span){(uint32_t)(data - block.data), (uint32_t)length};
}

static bool is_known_method(struct str method)
{
    static const char *const methods[] = {"GET",   "POST",    "PUT", "DELETE",
                                          "PATCH", "OPTIONS", "HEAD"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (str_is(method, methods[i]))
            return true;
    return false;
}

static int scan_request_line(struct str block, struct str line, struct http_head *h,
                             struct err *err)
{
    size_t method = span_of(line, is_token);
    if (method == 0 || method == line.length || line.data[method] != ' ')
        return INVALID(err, "malformed request line");
    struct str rest = {line.data + method + 1, line.length - method - 1};
    size_t target = span_of(rest, is_target);
    if (target == 0 || target == rest.length || rest.data[target] != ' ')
        return INVALID(err, "malformed request target");
    struct str version = {rest.data + target + 1, rest.length - target - 1};
    h->version_1_0 = str_is(version, "HTTP/1.0");
    if (!h->version_1_0 && !str_is(version, "HTTP/1.1"))
        return INVALID(err, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (!is_known_method((struct str){line.data, method}))
        return FAIL(err, E_METHOD_NOT_ALLOWED, "this method is not served");
    if (rest.data[0] != '/')
        return INVALID(err, "the request target does not begin with '/'");
    h->method = span(block, line.data, method);
    h->target = span(block, rest.data, target);
    return 0;
}

static int scan_field(struct str block, struct str line, struct http_head *h, struct err *err)
{
    size_t name = span_of(line, is_token);
    if (name == 0 || name == line.length || line.data[name] != ':')
        return INVALID(err, "malformed header field name"); /* folded lines end here too */
    struct str value = {line.data + name + 1, line.length - name - 1};
    if (span_of(value, is_value) != value.length)
        return INVALID(err, "forbidden byte in a header field");
    if (h->field_count == h->field_max)
        return FAIL(err, E_HEADER_TOO_LARGE, "more than %zu header fields", h->field_max);
    value = str_trim(value);
    h->fields[h->field_count++] =
        (struct http_field){span(block, line.data, name), span(block, value.data, value.length)};
    return 0;
}

static int scan_length(struct str value, struct http_head *h, struct err *err)
{
    int64_t length = 0;
    if (h->has_length)
        return INVALID(err, "two Content-Length fields");
    if (value.length == 0 || value.length > LENGTH_DIGITS_MAX)
        return INVALID(err, "malformed Content-Length");
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return INVALID(err, "malformed Content-Length");
        length = length * 10 + (value.data[i] - '0');
    }
    h->has_length = true;
    h->content_length = length;
    return 0;
}

static int scan_encoding(struct str value, struct http_head *h, struct err *err)
{
    if (h->chunked)
        return INVALID(err, "two Transfer-Encoding fields");
    if (!str_equal_nocase(value, "chunked"))
        return INVALID(err, "the only Transfer-Encoding served is 'chunked'");
    if (h->version_1_0)
        return INVALID(err, "Transfer-Encoding with HTTP/1.0");
    h->chunked = true;
    return 0;
}

/* The fields that say where a message ends and whom it is for. */
static int scan_meaning(struct str block, struct http_head *h, struct err *err)
{
    size_t hosts = 0;
    for (size_t i = 0; i < h->field_count; i++) {
        struct str name = view(block, h->fields[i].name), value = view(block, h->fields[i].value);
        if (str_equal_nocase(name, "host")) {
            hosts++;
            if (value.length == 0 || span_of(value, is_host) != value.length)
                return INVALID(err, "malformed Host");
        } else if (str_equal_nocase(name, "content-length")) {
            if (scan_length(value, h, err) < 0)
                return -1;
        } else if (str_equal_nocase(name, "transfer-encoding")) {
            if (scan_encoding(value, h, err) < 0)
                return -1;
        } else if (str_equal_nocase(name, "expect") && !h->version_1_0) {
            if (!str_equal_nocase(value, "100-continue"))
                return FAIL(err, E_EXPECTATION_FAILED, "unknown expectation");
            h->expect_continue = true;
        }
    }
    if (h->chunked && h->has_length)
        return INVALID(err, "both Content-Length and Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && !h->version_1_0))
        return INVALID(err, hosts ? "more than one Host field" : "no Host field");
    return 0;
}

static int scan_block(struct str block, struct http_head *h, struct err *err)
{
    const char *at = block.data;
    const char *end = block.data + block.length - 2; /* before the empty line */
    h->field_count = 0;
    h->chunked = h->has_length = h->expect_continue = false;
    h->content_length = 0;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        struct str line = {at, (size_t)(lf - at) - 1};
        int done = at == block.data ? scan_request_line(block, line, h, err)
                                    : scan_field(block, line, h, err);
        if (done < 0)
            return -1;
        at = lf + 1;
    }
    h->length = block.length;
    return scan_meaning(block, h, err);
}

int http_scan_head(struct http_scan *s, struct str input, size_t header_max,
                   struct http_head *ret_head, struct err *err)
{
    const char *lf;
    while ((lf = memchr(input.data + s->at, '\n', input.length - s->at))) {
        size_t at = (size_t)(lf - input.data);
        if (at == s->line || input.data[at - 1] != '\r')
            return INVALID(err, "line end without carriage return");
        if (at >= header_max)
            break;
        if (at - 1 == s->line && at == 1)
            return INVALID(err, "empty request line");
        if (at - 1 == s->line)
            return scan_block((struct str){input.data, at + 1}, ret_head, err);
        s->at = s->line = at + 1;
    }
    s->at = input.length;
    if (s->at >= header_max)
        return FAIL(err, E_HEADER_TOO_LARGE, "the header is larger than %zu bytes", header_max);
    return HTTP_SCAN_MORE;
}

/* Chunked framing. */

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int guard_size(struct http_guard *g, unsigned char c, struct err *err)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        g->left = g->left * 16 + (unsigned)digit;
        return ++g->count <= SIZE_DIGITS_MAX ? 0 : INVALID(err, "chunk size too large");
    }
    if (g->count == 0 || (c != '\r' && c != ';'))
        return INVALID(err, "malformed chunk size");
    g->state = c == ';' ? GUARD_EXTENSION : GUARD_SIZE_LF;
    g->count = 0;
    return 0;
}

/* A line of visible text up to its CR; `limit` counts all that was seen. */
static int guard_text(struct http_guard *g, unsigned char c, unsigned limit,
                      enum http_guard_state next, struct err *err)
{
    if (c == '\r')
        g->state = next;
    else if (!is_value(c) || ++g->count > limit)
        return INVALID(err, "malformed chunk extension or trailer");
    return 0;
}

static int guard_trailer(struct http_guard *g, unsigned char c, struct err *err)
{
    if (g->state == GUARD_TRAILER_START && c == '\r') {
        g->state = GUARD_LAST_LF;
        return 0;
    }
    if (g->state == GUARD_TRAILER_NAME && c == ':') {
        g->state = GUARD_TRAILER_VALUE;
        return 0;
    }
    if (!is_token(c) || ++g->count > TRAILERS_MAX)
        return INVALID(err, "malformed trailer");
    g->state = GUARD_TRAILER_NAME;
    return 0;
}

/* A byte that can only be this one. */
static int guard_expect(struct http_guard *g, unsigned char c, char wanted,
                        enum http_guard_state next, struct err *err)
{
    if (c != (unsigned char)wanted)
        return INVALID(err, "malformed chunk");
    g->state = next;
    return 0;
}

static int guard_byte(struct http_guard *g, unsigned char c, struct err *err)
{
    switch (g->state) {
    case GUARD_SIZE:
        return guard_size(g, c, err);
    case GUARD_EXTENSION:
        return guard_text(g, c, EXTENSION_MAX, GUARD_SIZE_LF, err);
    case GUARD_SIZE_LF:
        g->count = 0;
        return guard_expect(g, c, '\n', g->left ? GUARD_DATA : GUARD_TRAILER_START, err);
    case GUARD_DATA_CR:
        return guard_expect(g, c, '\r', GUARD_DATA_LF, err);
    case GUARD_DATA_LF:
        return guard_expect(g, c, '\n', GUARD_SIZE, err);
    case GUARD_TRAILER_START:
    case GUARD_TRAILER_NAME:
        return guard_trailer(g, c, err);
    case GUARD_TRAILER_VALUE:
        return guard_text(g, c, TRAILERS_MAX, GUARD_TRAILER_LF, err);
    case GUARD_TRAILER_LF:
        return guard_expect(g, c, '\n', GUARD_TRAILER_START, err);
    case GUARD_LAST_LF:
        return guard_expect(g, c, '\n', GUARD_DONE, err);
    case GUARD_DATA:
    case GUARD_DONE:
        break;
    }
    return INVALID(err, "malformed chunk");
}

int http_guard_take(struct http_guard *g, struct str data, size_t *ret_used, struct err *err)
{
    size_t at = 0;
    while (at < data.length && g->state != GUARD_DONE) {
        if (g->state == GUARD_DATA) {
            size_t have = data.length - at;
            size_t take = g->left < have ? (size_t)g->left : have;
            at += take;
            g->left -= take;
            if (g->left == 0)
                g->state = GUARD_DATA_CR;
            continue;
        }
        if (guard_byte(g, (unsigned char)data.data[at], err) < 0)
            return -1;
        at++;
    }
    *ret_used = at;
    return 0;
}
