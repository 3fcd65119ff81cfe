/* Fuzz target: the HTTP request path without sockets: scan, parse, body, decoding.
 *
 * The input is one connection's bytes, read twice: whole, and in pieces of the size that its first
 * byte says. Both readings must see the same requests and the same bodies, or end in the same
 * place: that is what makes requests unsmuggleable. */
#include <stdint.h>
#include "base/check.h"
#include "base/mem.h"
#include "io/http_priv.h"

#define FIELDS 100
#define HEADER_MAX (32u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct buf seen; /* every request's head and body, in order */
    struct http_scan scan;
    struct http_parse parse;
    bool in_body;
    bool refused;
    size_t at; /* first byte not used */
};

static void on_body(void *context, struct str data)
{
    (void)buf_add_str(context, data);
}

static void decode_target(struct str target)
{
    struct err err = ERR_INIT;
    struct str rest = target;
    struct str path = str_cut(&rest, '?');
    AUTO_FREE char *value = NULL;
    (void)!http_query_find(rest, "a", &value, &err);
    while (path.length > 0) {
        AUTO_FREE char *segment = NULL;
        struct str raw = str_cut(&path, '/');
        if (http_decode_segment(raw, &segment, &err) == 0)
            ASSERT(str_is_utf8(str_of(segment)) && !strchr(segment, '/'));
    }
}

/* Read one head if it is there; false when more is needed or it was refused. */
static bool read_head(struct reading *r, struct str input)
{
    static struct http_field fields[FIELDS];
    struct http_head head = {.fields = fields, .field_max = FIELDS};
    struct err err = ERR_INIT;
    struct str rest = {input.data + r->at, input.length - r->at};
    if (rest.length == 0)
        return false;
    int done = http_scan_head(&r->scan, rest, HEADER_MAX, &head, &err);
    if (done == HTTP_SCAN_MORE)
        return false;
    struct str block = {rest.data, head.length};
    if (done < 0 || http_parse_head(&r->parse, block, &head, &err) < 0) {
        ASSERT(err.kind != E_OK && err.text[0]);
        r->refused = true;
        return false;
    }
    decode_target((struct str){block.data + head.target.at, head.target.length});
    (void)buf_add_str(&r->seen, block);
    r->scan = (struct http_scan){0};
    r->at += head.length;
    r->in_body = !r->parse.complete;
    return true;
}

static bool read_body(struct reading *r, struct str input)
{
    struct err err = ERR_INIT;
    size_t used = 0;
    struct str rest = {input.data + r->at, input.length - r->at};
    if (rest.length == 0)
        return false;
    if (http_parse_body(&r->parse, rest, &used, &err) < 0) {
        r->refused = true;
        return false;
    }
    ASSERT(used <= rest.length && (used > 0 || r->parse.complete));
    r->at += used;
    r->in_body = !r->parse.complete;
    return true;
}

static void read_all(struct reading *r, struct str text, size_t step)
{
    buf_init(&r->seen, 0);
    r->parse.on_body = on_body;
    r->parse.context = &r->seen;
    for (size_t have = step; !r->refused; have += step) {
        struct str input = {text.data, have < text.length ? have : text.length};
        while (!r->refused && (r->in_body ? read_body(r, input) : read_head(r, input)))
            ;
        if (have >= text.length)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole = {0}, pieces = {0};
    if (size < 2)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    read_all(&whole, text, text.length);
    read_all(&pieces, text, data[0] ? data[0] : 1);
    ASSERT(whole.refused == pieces.refused);
    if (!whole.refused) /* a refusal may come before or after the same body bytes */
        ASSERT(whole.at == pieces.at && str_equal(buf_str(&whole.seen), buf_str(&pieces.seen)));
    buf_done(&whole.seen);
    buf_done(&pieces.seen);
    return 0;
}
