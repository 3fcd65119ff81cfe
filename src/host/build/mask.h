/* Masking: a secret that a build prints does not reach file or console. Each secret is known in the
 * forms a tool is likely to print it: raw, each line of a longer text, base64 at its three offsets
 * (both alphabets), URL-encoded, hex, JSON-escaped. A stream holds back the bytes that may be the
 * start of one, so a secret split over writes is seen. What is compressed or encrypted cannot be
 * seen. Secrets under 4 bytes are not masked: they would tear everything apart. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/str.h"

#define MASK_TEXT "***"
struct mask_pattern {
    char *data;
    size_t length;
    size_t next; /* index + 1 of the next one with the same hash */
};
struct mask {
    struct mask_pattern *patterns;
    size_t count;
    size_t *heads;            /* by hash of the first two bytes: index + 1 */
    uint8_t pairs[65536 / 8]; /* first two bytes */
    uint8_t firsts[256 / 8];
};
void mask_init(struct mask *m);
void mask_done(struct mask *m); /* wipes */
void mask_add(struct mask *m, struct str secret);

struct mask_stream {
    const struct mask *mask;
    struct buf held;
};
typedef void mask_emit(void *context, struct str text);
void mask_stream_init(struct mask_stream *s, const struct mask *m);
void mask_stream_done(struct mask_stream *s);
void mask_feed(struct mask_stream *s, struct str data, mask_emit *emit, void *context);
void mask_flush(struct mask_stream *s, mask_emit *emit, void *context); /* the stream ends */
/* A whole text at once; heap. */
char *mask_text(const struct mask *m, const char *text);
