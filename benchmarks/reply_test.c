#include "reply.h"
#include <string.h>
#include "base/tap.h"

static struct reply reply;

/* The text in pieces of this size; returns how much was taken. */
static size_t take(const char *text, size_t piece)
{
    size_t length = strlen(text), used = 0;
    reply_init(&reply);
    while (used < length && reply.state < REPLY_DONE) {
        size_t part = length - used < piece ? length - used : piece;
        used += reply_take(&reply, text + used, part);
    }
    return used;
}

TEST(reads_a_reply_with_a_length_in_pieces_of_any_size)
{
    const char *text = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-Release: 7\r\n"
                       "x-instance: shop.dev.r7.1\r\nIdempotency-Key: k-1\r\n\r\nhello";
    for (size_t piece = 1; piece < 20; piece++) {
        IS_INT(take(text, piece), strlen(text));
        IS_INT(reply.state, REPLY_DONE);
        IS_INT(reply.status, 201);
        IS_STR(reply.body, "hello");
        IS_STR(reply.release, "7");
        IS_STR(reply.instance, "shop.dev.r7.1");
        IS_STR(reply.echo, "k-1");
        OK(!reply.close);
    }
}

TEST(reads_chunks_in_pieces_of_any_size)
{
    const char *text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                       "5\r\nhello\r\nA\r\n, world!!!\r\n0\r\n\r\n";
    for (size_t piece = 1; piece < 20; piece++) {
        IS_INT(take(text, piece), strlen(text));
        IS_INT(reply.state, REPLY_DONE);
        IS_STR(reply.body, "hello, world!!!");
        OK(reply.close);
    }
}

TEST(leaves_what_belongs_to_the_next_reply)
{
    const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500";
    IS_INT(take(text, 1000), strlen(text) - strlen("HTTP/1.1 500"));
    IS_INT(reply.state, REPLY_DONE);
}

TEST(a_reply_cut_short_is_not_complete)
{
    (void)take("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 1000);
    OK(!reply_end(&reply));
    (void)take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 1000);
    OK(!reply_end(&reply));
    (void)take("HTTP/1.1 200 OK\r\nContent-Le", 1000);
    OK(!reply_end(&reply));
    (void)take("HTTP/1.0 200 OK\r\n\r\nhello", 1000);
    OK(reply_end(&reply));
    IS_STR(reply.body, "hello");
}

TEST(skips_a_reply_in_between_and_refuses_nonsense)
{
    (void)take("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 3);
    IS_INT(reply.state, REPLY_DONE);
    IS_INT(reply.status, 204);
    (void)take("SSH-2.0-OpenSSH\r\n\r\n", 1000);
    IS_INT(reply.state, REPLY_BAD);
    (void)take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1000);
    IS_INT(reply.state, REPLY_BAD);
}

TAP_MAIN()
