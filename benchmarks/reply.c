#include "reply.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CHUNK_SIZE, CHUNK_LINE_END, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_LAST };

void reply_init(struct reply *r)
{
    r->state = REPLY_HEAD;
    r->status = 0;
    r->close = false;
    r->instance[0] = r->release[0] = r->echo[0] = 0;
    r->head_length = r->body_length = r->left = 0;
    r->chunk_state = CHUNK_SIZE;
}

static void body_add(struct reply *r, const char *data, size_t length)
{
    if (r->body_length < REPLY_BODY_KEPT) {
        size_t room = REPLY_BODY_KEPT - r->body_length;
        memcpy(r->body + r->body_length, data, length < room ? length : room);
    }
    r->body_length += length;
}

static void done(struct reply *r)
{
    r->body[r->body_length < REPLY_BODY_KEPT ? r->body_length : REPLY_BODY_KEPT] = 0;
    r->state = REPLY_DONE;
}

/* The value of a header line when its name is this one. */
static const char *value_of(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    line += length + 1;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

static void label_copy(char *to, const char *value)
{
    size_t length = strlen(value);
    length = length < REPLY_LABEL_MAX ? length : REPLY_LABEL_MAX - 1;
    memcpy(to, value, length);
    to[length] = 0;
}

static void header_line(struct reply *r, const char *line, bool *chunked, bool *sized)
{
    const char *value;
    if ((value = value_of(line, "content-length"))) {
        char *end;
        r->left = strtoull(value, &end, 10);
        *sized = true;
        if (end == value || *end)
            r->state = REPLY_BAD;
    } else if ((value = value_of(line, "transfer-encoding"))) {
        *chunked = strcasecmp(value, "chunked") == 0;
    } else if ((value = value_of(line, "connection"))) {
        r->close = strcasecmp(value, "close") == 0;
    } else if ((value = value_of(line, "x-instance"))) {
        label_copy(r->instance, value);
    } else if ((value = value_of(line, "x-release"))) {
        label_copy(r->release, value);
    } else if ((value = value_of(line, "idempotency-key"))) {
        label_copy(r->echo, value);
    }
}

static void head_read(struct reply *r)
{
    bool chunked = false, sized = false;
    r->head[r->head_length - 2] = 0; /* the empty line */
    if (strncmp(r->head, "HTTP/1.", 7) != 0 || r->head_length < 12) {
        r->state = REPLY_BAD;
        return;
    }
    r->status = (int)strtol(r->head + 9, NULL, 10);
    if (r->status >= 100 && r->status < 200) {
        r->head_length = 0;
        return;
    }
    for (char *line = r->head, *end; (end = strstr(line, "\r\n")); line = end + 2) {
        *end = 0;
        if (line != r->head)
            header_line(r, line, &chunked, &sized);
    }
    if (r->state == REPLY_BAD)
        return;
    if (chunked)
        r->state = REPLY_CHUNK;
    else if (r->status == 204 || r->status == 304 || (sized && r->left == 0))
        done(r);
    else
        r->state = sized ? REPLY_LENGTH : REPLY_UNTIL_CLOSE;
}

/* Byte by byte to the empty line; replies here have small heads. */
static size_t head_take(struct reply *r, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (r->head_length >= REPLY_HEAD_MAX - 1) {
            r->state = REPLY_BAD;
            return length;
        }
        r->head[r->head_length++] = data[i];
        if (data[i] == '\n' && r->head_length >= 4 &&
            memcmp(r->head + r->head_length - 4, "\r\n\r\n", 4) == 0) {
            head_read(r);
            return i + 1;
        }
    }
    return length;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void chunk_byte(struct reply *r, char c)
{
    switch (r->chunk_state) {
    case CHUNK_SIZE:
        if (hex(c) >= 0 && r->left < (1u << 28))
            r->left = r->left * 16 + (size_t)hex(c);
        else if (c == '\r')
            r->chunk_state = CHUNK_LINE_END;
        else
            r->state = REPLY_BAD;
        break;
    case CHUNK_LINE_END:
        r->chunk_state = r->left ? CHUNK_DATA : CHUNK_TRAILER;
        break;
    case CHUNK_DATA_END:
        if (c == '\n')
            r->chunk_state = CHUNK_SIZE;
        break;
    case CHUNK_TRAILER:
        if (c == '\r')
            r->chunk_state = CHUNK_LAST;
        else
            r->state = REPLY_BAD; /* no app here sends trailers */
        break;
    default:
        done(r);
        break;
    }
}

static size_t chunk_take(struct reply *r, const char *data, size_t length)
{
    size_t used = 0;
    while (used < length && r->state == REPLY_CHUNK) {
        if (r->chunk_state != CHUNK_DATA) {
            chunk_byte(r, data[used++]);
            continue;
        }
        size_t part = length - used < r->left ? length - used : r->left;
        body_add(r, data + used, part);
        used += part;
        r->left -= part;
        if (!r->left)
            r->chunk_state = CHUNK_DATA_END;
    }
    return used;
}

static size_t length_take(struct reply *r, const char *data, size_t length)
{
    size_t part = length < r->left ? length : r->left;
    body_add(r, data, part);
    r->left -= part;
    if (!r->left)
        done(r);
    return part;
}

size_t reply_take(struct reply *r, const char *data, size_t length)
{
    size_t used = 0;
    while (used < length && r->state < REPLY_DONE) {
        if (r->state == REPLY_HEAD) {
            used += head_take(r, data + used, length - used);
        } else if (r->state == REPLY_LENGTH) {
            used += length_take(r, data + used, length - used);
        } else if (r->state == REPLY_CHUNK) {
            used += chunk_take(r, data + used, length - used);
        } else {
            body_add(r, data + used, length - used);
            used = length;
        }
    }
    return used;
}

bool reply_end(struct reply *r)
{
    if (r->state != REPLY_UNTIL_CLOSE)
        return r->state == REPLY_DONE;
    r->close = true;
    done(r);
    return true;
}
