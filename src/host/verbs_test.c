/* The gate of the host's verbs: hello first, epochs only grow, one core at a time. */
#include <sys/mman.h>
#include <sys/socket.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/host_priv.h"
#include "io/loop.h"
#include "wire/verb.h"

static struct settings *settings;
static struct host host;
static struct channel_handlers handlers;

static void prepare(void)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/settings", tap_dir());
    AUTO_FREE char *text = mem_format("data_dir = %s\nrun_dir = /tmp/x\n", tap_dir());
    AUTO_FREE char *folder = mem_format("%s/host", tap_dir());
    OK(file_make_dirs(folder, 0700, &err) == 0);
    OK(file_write(path, str_of(text), 0600, &err) == 0);
    OK(settings_load(path, &settings, &err) == 0);
    host = (struct host){.settings = settings, .boot = "0123456789abcdef"};
    OK(verbs_epoch_load(&host, &err) == 0);
    verbs_handlers(&host, &handlers);
}

struct peer {
    struct channel *core; /* core's end */
    struct channel *ours;
    bool closed;
};

static void peer_closed(void *context, struct channel *c)
{
    struct peer *p = context;
    (void)c;
    p->closed = true;
}

static void peer_open(struct peer *p)
{
    int ends[2] = {-1, -1};
    struct channel_handlers core = {.on_close = peer_closed, .context = p};
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    *p =
        (struct peer){.core = channel_new(ends[0], &core), .ours = channel_new(ends[1], &handlers)};
}

static void peer_close(struct peer *p)
{
    if (!p->closed)
        channel_free(p->core);
}

static struct err answer;
static json_t *answer_ok;
static bool answered;

static void replied(void *context, json_t *ok, const struct err *error)
{
    (void)context;
    answered = true;
    answer = error ? *error : (struct err)ERR_INIT;
    json_decref(answer_ok);
    answer_ok = json_incref(ok);
}

static void turn(bool *until)
{
    int64_t limit = clock_mono_ms(clock_system()) + 2000;
    while (!*until && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
}

static enum err_kind ask(struct peer *p, const char *verb, json_t *args)
{
    AUTO_CLOSE int file = memfd_create("heads", MFD_CLOEXEC);
    struct channel_request request = {.verb = verb, .args = args, .on_reply = replied};
    if (text_is(verb, "journal.heads"))
        request.fds[request.fd_count++] = file;
    answered = false;
    channel_request(p->core, &request);
    turn(&answered);
    return answered ? answer.kind : E_TIMEOUT;
}

static enum err_kind hello(struct peer *p, int64_t epoch, int64_t protocol)
{
    json_t *args = json_object();
    json_put_int(args, "protocol", protocol);
    json_put_int(args, "epoch", epoch);
    return ask(p, "hello", args);
}

TEST(nothing_passes_before_hello)
{
    struct peer p;
    prepare();
    peer_open(&p);
    IS_INT(ask(&p, "journal.heads", NULL), E_PROTOCOL);
    IS_INT(ask(&p, "no.such.verb", NULL), E_PROTOCOL);
    IS_INT(hello(&p, 5, WIRE_PROTOCOL), E_OK);
    IS_STR(json_text(answer_ok, "boot"), "0123456789abcdef");
    IS_INT(ask(&p, "journal.heads", NULL), E_OK);
    IS_INT(ask(&p, "fault", NULL), E_FIELD_INVALID);
    peer_close(&p);
    settings_free(settings);
}

TEST(an_older_core_is_refused_and_closed)
{
    struct peer newer, older;
    prepare();
    peer_open(&newer);
    peer_open(&older);
    IS_INT(hello(&newer, 7, WIRE_PROTOCOL), E_OK);
    IS_INT(hello(&older, 6, WIRE_PROTOCOL), E_EPOCH_STALE);
    turn(&older.closed);
    OK(older.closed);
    IS_INT(ask(&newer, "journal.heads", NULL), E_OK);
    peer_close(&newer);
    peer_close(&older);
    settings_free(settings);
}

TEST(a_newer_core_closes_the_older_one_and_is_remembered)
{
    struct peer older, newer, late;
    struct err err = ERR_INIT;
    prepare();
    peer_open(&older);
    peer_open(&newer);
    IS_INT(hello(&older, 7, WIRE_PROTOCOL), E_OK);
    IS_INT(hello(&newer, 8, WIRE_PROTOCOL), E_OK);
    turn(&older.closed);
    OK(older.closed);
    host.epoch = 0; /* as a new process */
    OK(verbs_epoch_load(&host, &err) == 0);
    IS_INT(host.epoch, 8);
    peer_open(&late);
    IS_INT(hello(&late, 7, WIRE_PROTOCOL), E_EPOCH_STALE);
    peer_close(&older);
    peer_close(&newer);
    peer_close(&late);
    settings_free(settings);
}

TEST(an_unknown_protocol_is_refused)
{
    struct peer p;
    prepare();
    peer_open(&p);
    IS_INT(hello(&p, 1, WIRE_PROTOCOL + 2), E_PROTOCOL);
    peer_close(&p);
    settings_free(settings);
    json_decref(answer_ok);
    answer_ok = NULL;
}

TAP_MAIN()
