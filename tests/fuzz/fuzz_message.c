/* Fuzz target: what one role may send another. The input goes through a real socket into a channel
 * with the host's shapes: as it is when its first byte is odd, otherwise each line as one frame of
 * the right length. The channel must answer, or close, and never do anything else. */
#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/message.h"
#include "wire/host.h"

#define ROUNDS 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void handle(void *context, struct message *m)
{
    (void)context;
    ASSERT(json_is_object(m->args));
    message_ok(m, NULL);
}

static void closed(void *context, struct channel *c)
{
    (void)c;
    *(bool *)context = true;
}

static const struct message_verb verbs[] = {
    {WIRE("hello", host_hello), .handle = handle},
    {WIRE("instance.start", host_instance_start), .handle = handle},
    {WIRE("build.run", host_build_run), .fd_count = -1, .handle = handle},
    {WIRE("edge.apply", host_edge_apply), .handle = handle},
    {WIRE("retention", host_retention), .handle = handle},
};

static void feed(int fd, const uint8_t *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = send(fd, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0)
            return; /* closed on us, which is an answer */
        done += (size_t)count;
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    }
}

static void feed_frames(int fd, struct str lines)
{
    while (lines.data) {
        struct str line = str_cut(&lines, '\n');
        uint32_t length = htonl((uint32_t)line.length);
        feed(fd, (const uint8_t *)&length, sizeof(length));
        feed(fd, (const uint8_t *)line.data, line.length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    bool is_closed = false;
    const struct channel_handlers handlers = {
        .verbs = verbs, .verb_count = ARRAY_SIZE(verbs), .on_close = closed, .context = &is_closed};
    if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return 0;
    log_setup("fuzz", LOG_ERROR);
    (void)loop_get();
    (void)channel_new(ends[0], &handlers);
    if (data[0] % 2)
        feed(ends[1], data + 1, size - 1);
    else
        feed_frames(ends[1], (struct str){(const char *)data + 1, size - 1});
    (void)shutdown(ends[1], SHUT_WR);
    for (int i = 0; i < ROUNDS && !is_closed; i++)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    ASSERT(is_closed);
    (void)close(ends[1]);
    for (int i = 0; i < 3; i++) /* what is freed on the next rounds */
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    return 0;
}
