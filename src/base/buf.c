/* The growing byte string. Memory doubles up to the ceiling. Once an append has failed all later
 * ones fail as well, until the buf is cleared: the content is always a true beginning of what was
 * appended, never a text with a hole in it. */
#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/check.h"
#include "base/mem.h"

void buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf)BUF_INIT(ceiling);
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    buf_init(b, b->ceiling);
}

void buf_clear(struct buf *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for `more` bytes and the NUL. */
static int buf_reserve(struct buf *b, size_t more)
{
    size_t need;
    bool overflow = __builtin_add_overflow(b->length, more, &need) || need > SIZE_MAX / 4;
    if (b->failed || overflow || (b->ceiling && need > b->ceiling)) {
        b->failed = true;
        return -1;
    }
    if (need < b->capacity)
        return 0;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity <= need)
        capacity *= 2;
    if (b->ceiling && capacity > b->ceiling)
        capacity = b->ceiling + 1;
    b->data = mem_resize(b->data, capacity, 1);
    b->capacity = capacity;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t length)
{
    if (buf_reserve(b, length) < 0)
        return -1;
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
    return 0;
}

int buf_add_text(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int buf_add_str(struct buf *b, struct str s)
{
    return buf_add(b, s.data, s.length);
}

int buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_add_format(struct buf *b, const char *format, ...)
{
    char small[256];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof(small), format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    int result;
    if ((size_t)length < sizeof(small)) {
        result = buf_add(b, small, (size_t)length);
    } else {
        result = buf_reserve(b, (size_t)length);
        if (result == 0) {
            (void)vsnprintf(b->data + b->length, (size_t)length + 1, format, again);
            b->length += (size_t)length;
        }
    }
    va_end(again);
    return result;
}

void buf_add_json_escape(struct buf *b, uint32_t character)
{
    if (character >= 0x10000) {
        (void)buf_add_format(b, "\\u%04x", 0xd800 + ((character - 0x10000) >> 10));
        character = 0xdc00 + (character & 0x3ff);
    }
    (void)buf_add_format(b, "\\u%04x", character); /* past the ceiling: `failed` stays set */
}

/* One character (`step` bytes, 0 for a byte that is no UTF-8) as it stands in a JSON string. */
static void buf_add_json_char(struct buf *b, const char *bytes, size_t step)
{
    static const char *const names[0x20] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    unsigned char c = (unsigned char)bytes[0];
    if (step == 0 || c == 0) /* our own parser refuses NUL */
        (void)buf_add_text(b, "\xef\xbf\xbd");
    else if (c == '"' || c == '\\')
        (void)buf_add(b, (const char[]){'\\', bytes[0]}, 2);
    else if (c < 0x20 && names[c])
        (void)buf_add_text(b, names[c]);
    else if (str_hidden_step((struct str){bytes, step})) /* terminals obey these */
        buf_add_json_escape(b, str_character((struct str){bytes, step}, step));
    else
        (void)buf_add(b, bytes, step);
}

int buf_add_json_string(struct buf *b, struct str s)
{
    size_t before = b->length;
    bool failed_before = b->failed;
    (void)buf_add_char(b, '"');
    while (s.length > 0 && !b->failed) {
        size_t step = str_utf8_step(s), used = step ? step : 1;
        buf_add_json_char(b, s.data, step);
        s.data += used;
        s.length -= used;
    }
    (void)buf_add_char(b, '"');
    if (!b->failed)
        return 0;
    if (!failed_before && b->data) { /* all or nothing, as every append */
        b->length = before;
        b->data[before] = '\0';
    }
    return -1;
}

void buf_consume(struct buf *b, size_t length)
{
    ASSERT(length <= b->length);
    if (length == 0)
        return;
    b->length -= length;
    memmove(b->data, b->data + length, b->length + 1);
}

char *buf_take(struct buf *b)
{
    char *text = b->data ? TAKE(b->data) : mem_strdup("");
    buf_init(b, b->ceiling);
    return text;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->data ? b->data : "", b->length};
}
