/* How masking finds its patterns: a bitmap of their first two bytes rejects nearly every position;
 * where it does not, the few patterns with those bytes are compared. A match that the data ends in
 * the middle of is held back, and goes before a shorter whole one. */
#include "host/build/mask.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

#define SECRET_MIN 4
#define ENCODED_MIN 6
#define LINE_MIN 8
#define HEADS 4096
#define PARTIAL ((size_t)-1)

static size_t pair_of(const char *p)
{
    return (size_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

static size_t head_of(size_t pair)
{
    return (pair * 2654435761u >> 7) % HEADS;
}

void mask_init(struct mask *m)
{
    *m = (struct mask){0};
    m->heads = mem_array(HEADS, sizeof(*m->heads));
}

void mask_done(struct mask *m)
{
    for (size_t i = 0; i < m->count; i++) {
        explicit_bzero(m->patterns[i].data, m->patterns[i].length);
        free(m->patterns[i].data);
    }
    free(m->patterns);
    free(m->heads);
    *m = (struct mask){0};
}

static void add_pattern(struct mask *m, const char *data, size_t length, size_t min)
{
    if (length < min)
        return;
    size_t pair = pair_of(data), head = head_of(pair);
    for (size_t at = m->heads[head]; at > 0; at = m->patterns[at - 1].next)
        if (m->patterns[at - 1].length == length &&
            memcmp(m->patterns[at - 1].data, data, length) == 0)
            return;
    m->patterns = mem_resize(m->patterns, m->count + 1, sizeof(*m->patterns));
    m->patterns[m->count].data = mem_alloc(length);
    memcpy(m->patterns[m->count].data, data, length);
    m->patterns[m->count].length = length;
    m->patterns[m->count].next = m->heads[head];
    m->heads[head] = ++m->count;
    m->pairs[pair / 8] |= (uint8_t)(1 << pair % 8);
    m->firsts[(uint8_t)data[0] / 8] |= (uint8_t)(1 << (uint8_t)data[0] % 8);
}

static void add_buf(struct mask *m, struct buf *b)
{
    if (b->data) {
        add_pattern(m, b->data, b->length, ENCODED_MIN);
        explicit_bzero(b->data, b->length);
    }
    buf_clear(b);
}

/* The characters of the base64 of (skip unknown bytes, secret, unknown bytes) that depend on the
 * secret alone. */
static void add_base64(struct mask *m, struct str secret, unsigned skip, const char *alphabet)
{
    AUTO_BUF out = {0};
    size_t bits = (skip + secret.length) * 8, first = (skip * 8 + 5) / 6;
    for (size_t c = first; (c + 1) * 6 <= bits; c++) {
        unsigned value = 0;
        for (size_t bit = c * 6; bit < c * 6 + 6; bit++) {
            size_t at = bit / 8 - skip;
            value = value << 1 | ((unsigned)(uint8_t)secret.data[at] >> (7 - bit % 8) & 1);
        }
        err_ignore(buf_add_char(&out, alphabet[value])); /* no ceiling */
    }
    add_buf(m, &out);
}

static void add_byte(struct buf *out, unsigned char c, const char *digits)
{
    err_ignore(buf_add_char(out, digits[c >> 4])); /* no ceiling */
    err_ignore(buf_add_char(out, digits[c & 15])); /* no ceiling */
}

static void add_hex(struct mask *m, struct str secret, const char *digits)
{
    AUTO_BUF out = {0};
    for (size_t i = 0; i < secret.length; i++)
        add_byte(&out, (unsigned char)secret.data[i], digits);
    add_buf(m, &out);
}

static void add_url(struct mask *m, struct str secret, const char *digits, bool plus)
{
    AUTO_BUF out = {0};
    for (size_t i = 0; i < secret.length; i++) {
        unsigned char c = (unsigned char)secret.data[i];
        bool plain = c < 0x80 && c != '\0' && (isalnum(c) || strchr("-._~", c));
        if (!plain && !(plus && c == ' '))
            err_ignore(buf_add_char(&out, '%')); /* no ceiling */
        if (plain)
            err_ignore(buf_add_char(&out, (char)c)); /* no ceiling */
        else if (plus && c == ' ')
            err_ignore(buf_add_char(&out, '+')); /* no ceiling */
        else
            add_byte(&out, c, digits);
    }
    add_buf(m, &out);
}

static void add_json(struct mask *m, struct str secret, bool slashes)
{
    static const char plain[] = "\"\\\n\t\r\b\f", escaped[] = "\"\\ntrbf";
    AUTO_BUF out = {0};
    for (size_t i = 0; i < secret.length; i++) {
        unsigned char c = (unsigned char)secret.data[i];
        const char *found = c ? strchr(plain, c) : NULL;
        if (found)
            err_ignore(buf_add_format(&out, "\\%c", escaped[found - plain])); /* no ceiling */
        else if (slashes && c == '/')
            err_ignore(buf_add_text(&out, "\\/")); /* no ceiling */
        else if (c < 0x20)
            err_ignore(buf_add_format(&out, "\\u%04x", (unsigned)c)); /* no ceiling */
        else
            err_ignore(buf_add_char(&out, (char)c)); /* no ceiling */
    }
    add_buf(m, &out);
}

static void add_forms(struct mask *m, struct str secret)
{
    static const char standard[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    add_pattern(m, secret.data, secret.length, SECRET_MIN);
    for (unsigned skip = 0; skip < 3; skip++) {
        add_base64(m, secret, skip, standard);
        add_base64(m, secret, skip, url);
    }
    add_hex(m, secret, lower);
    add_hex(m, secret, upper);
    add_url(m, secret, upper, false);
    add_url(m, secret, lower, false);
    add_url(m, secret, upper, true);
    add_json(m, secret, false);
    add_json(m, secret, true);
}

void mask_add(struct mask *m, struct str secret)
{
    while (secret.length > 0 && strchr("\r\n", secret.data[secret.length - 1]))
        secret.length--; /* tools drop the last line end */
    if (secret.length < SECRET_MIN)
        return;
    add_forms(m, secret);
    if (!memchr(secret.data, '\n', secret.length))
        return;
    for (struct str rest = secret; rest.data && rest.length > 0;) {
        struct str line = str_cut(&rest, '\n');
        if (line.length > 0 && line.data[line.length - 1] == '\r')
            line.length--;
        if (line.length >= LINE_MIN)
            add_forms(m, line);
    }
}

/* Length of the longest pattern at `data`; 0 for none; PARTIAL when one may begin here and goes on
 * past the end. */
static size_t match(const struct mask *m, const char *data, size_t length)
{
    size_t longest = 0;
    for (size_t at = m->heads[head_of(pair_of(data))]; at > 0; at = m->patterns[at - 1].next) {
        const struct mask_pattern *p = &m->patterns[at - 1];
        size_t common = p->length < length ? p->length : length;
        if (memcmp(p->data, data, common) != 0)
            continue;
        if (p->length > length)
            return PARTIAL;
        if (p->length > longest)
            longest = p->length;
    }
    return longest;
}

static size_t match_at(const struct mask *m, const char *data, size_t length)
{
    if (length == 1)
        return m->firsts[(uint8_t)data[0] / 8] >> ((uint8_t)data[0] % 8) & 1 ? PARTIAL : 0;
    size_t pair = pair_of(data);
    return m->pairs[pair / 8] >> (pair % 8) & 1 ? match(m, data, length) : 0;
}

/* The longest whole pattern, when no more data will come. */
static size_t match_whole(const struct mask *m, const char *data, size_t length)
{
    size_t longest = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct mask_pattern *p = &m->patterns[i];
        if (p->length <= length && p->length > longest && memcmp(p->data, data, p->length) == 0)
            longest = p->length;
    }
    return longest;
}

static void scan(struct mask_stream *s, bool last, mask_emit *emit, void *context)
{
    const char *data = s->held.data;
    size_t length = s->held.length, start = 0, at = 0;
    while (at < length) {
        size_t found = match_at(s->mask, data + at, length - at);
        if (found == PARTIAL && !last)
            break;
        if (found == PARTIAL)
            found = match_whole(s->mask, data + at, length - at);
        if (found == 0) {
            at++;
            continue;
        }
        if (at > start)
            emit(context, (struct str){data + start, at - start});
        emit(context, STR(MASK_TEXT));
        at += found;
        start = at;
    }
    if (at > start)
        emit(context, (struct str){data + start, at - start});
    buf_consume(&s->held, at);
}

void mask_stream_init(struct mask_stream *s, const struct mask *m)
{
    s->mask = m;
    buf_init(&s->held, 0); /* bounded by the longest pattern and one write */
}

void mask_stream_done(struct mask_stream *s)
{
    if (s->held.data)
        explicit_bzero(s->held.data, s->held.length);
    buf_done(&s->held);
}

void mask_feed(struct mask_stream *s, struct str data, mask_emit *emit, void *context)
{
    if (s->mask->count == 0) {
        emit(context, data);
        return;
    }
    err_ignore(buf_add_str(&s->held, data)); /* no ceiling */
    scan(s, false, emit, context);
}

void mask_flush(struct mask_stream *s, mask_emit *emit, void *context)
{
    if (s->held.length > 0)
        scan(s, true, emit, context);
}

static void emit_buf(void *context, struct str text)
{
    err_ignore(buf_add_str(context, text)); /* no ceiling: as long as what came in */
}

char *mask_text(const struct mask *m, const char *text)
{
    struct mask_stream s;
    struct buf out = {0};
    mask_stream_init(&s, m);
    mask_feed(&s, str_of(text), emit_buf, &out);
    mask_flush(&s, emit_buf, &out);
    mask_stream_done(&s);
    return buf_take(&out);
}
