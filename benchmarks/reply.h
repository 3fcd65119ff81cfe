/* Reads one HTTP/1.1 reply piece by piece and says when it is complete. The load client has its own
 * reader on purpose: what is measured must not share code with what measures it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { REPLY_HEAD_MAX = 16384, REPLY_BODY_KEPT = 65536, REPLY_LABEL_MAX = 96 };

enum reply_state {
    REPLY_HEAD,
    REPLY_LENGTH,
    REPLY_CHUNK,
    REPLY_UNTIL_CLOSE,
    REPLY_DONE,
    REPLY_BAD
};

struct reply {
    enum reply_state state;
    int status;
    bool close; /* the peer will close: do not use the connection again */
    char instance[REPLY_LABEL_MAX], release[REPLY_LABEL_MAX], echo[REPLY_LABEL_MAX];
    size_t head_length, body_length, left;
    int chunk_state;
    char head[REPLY_HEAD_MAX];
    char body[REPLY_BODY_KEPT + 1]; /* the first bytes, NUL-terminated when done */
};

/* Begin a new reply. */
void reply_init(struct reply *r);
/* Take bytes; returns how many belong to this reply. Look at ->state afterwards. */
size_t reply_take(struct reply *r, const char *data, size_t length);
/* The peer closed: a reply without a length is complete, any other is not. True when it is. */
bool reply_end(struct reply *r);
