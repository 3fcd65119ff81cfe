/* Heads of the journal: they only grow, survive a new process, and come back whole. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/host_priv.h"
#include "io/loop.h"
#include "wire/host.h"

#define HASH_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH_B "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A core and a host in one process, as often as a test wants a "new process" of the host's memory:
 * it knows nothing that the file does not say, because each test has a folder of its own. */

static struct settings *settings;
static struct channel *core;
static int open_replies;
static struct err last;
static int failures;

static void replied(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok;
    open_replies--;
    if (error) {
        failures++;
        last = *error;
    }
}

static void settle(void)
{
    int64_t limit = clock_mono_ms(clock_system()) + 5000;
    while (open_replies > 0 && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    IS_INT(open_replies, 0);
}

static void set_up(void)
{
    static const struct message_verb verbs[] = {
        {WIRE("journal.head", host_journal_head), 0, journal_verb_head},
        {WIRE("journal.heads", host_journal_heads), 1, journal_verb_heads},
    };
    static struct host host;
    static const struct channel_handlers ours = {
        .verbs = verbs, .verb_count = ARRAY_SIZE(verbs), .context = &host};
    static const struct channel_handlers theirs;
    struct err err = ERR_INIT;
    int pair[2];
    AUTO_FREE char *path = mem_format("%s/settings", tap_dir());
    AUTO_FREE char *text = mem_format("data_dir = %s\nrun_dir = /tmp/x\n", tap_dir());
    AUTO_FREE char *folder = mem_format("%s/host", tap_dir());
    OK(file_make_dirs(folder, 0700, &err) == 0);
    OK(file_write(path, str_of(text), 0600, &err) == 0);
    OK(settings_load(path, &settings, &err) == 0);
    host.settings = settings;
    journal_open(settings);
    failures = 0;
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    (void)channel_new(pair[0], &ours);
    core = channel_new(pair[1], &theirs);
}

static void tear_down(void)
{
    channel_free(TAKE(core));
    for (int i = 0; i < 10; i++)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    settings_free(TAKE(settings));
}

static void tell(int64_t seq, const char *hash)
{
    json_t *args = json_object();
    json_put_int(args, "seq", seq);
    json_put_text(args, "hash", hash);
    open_replies++;
    channel_request(
        core, &(struct channel_request){.verb = "journal.head", .args = args, .on_reply = replied});
}

static bool told(int64_t seq, const char *hash)
{
    int before = failures;
    tell(seq, hash);
    settle();
    return failures == before;
}

/* What core gets of them. */
static void is_kept(const char *expected)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(0);
    AUTO_CLOSE int fd = memfd_create("heads", MFD_CLOEXEC);
    open_replies++;
    channel_request(core,
                    &(struct channel_request){
                        .verb = "journal.heads", .fds = {fd}, .fd_count = 1, .on_reply = replied});
    settle();
    OK(lseek(fd, 0, SEEK_SET) == 0 && file_read_fd(fd, 1 << 20, &text, &err) == 0);
    IS_STR(text.data ? text.data : "", expected);
}

static bool doctor_is_content(void)
{
    AUTO_JSON *checks = json_array();
    journal_doctor(checks);
    return json_bool(json_array_get(checks, 0), "ok", false);
}

TEST(heads_are_kept_in_order)
{
    set_up();
    for (int i = 1; i <= 3; i++)
        tell(i, HASH_A); /* one batch, or several */
    settle();
    OK(told(7, HASH_B)); /* some were missed: core died before it told */
    is_kept("1 " HASH_A "\n2 " HASH_A "\n3 " HASH_A "\n7 " HASH_B "\n");
    IS_INT(failures, 0);
    OK(doctor_is_content());
    tear_down();
}

TEST(the_last_may_come_again_and_nothing_else)
{
    set_up();
    OK(told(1, HASH_A) && told(2, HASH_A));
    OK(told(2, HASH_A)); /* a core that crashed */
    OK(doctor_is_content());
    OK(!told(2, HASH_B) && last.kind == E_STATE_CONFLICT);
    OK(!told(1, HASH_B) && !told(1, HASH_A));
    OK(!doctor_is_content());
    is_kept("1 " HASH_A "\n2 " HASH_A "\n");
    OK(told(3, HASH_A));
    tear_down();
}

TEST(within_one_batch_too)
{
    set_up();
    tell(1, HASH_A); /* goes alone */
    tell(2, HASH_A);
    tell(2, HASH_B);
    tell(1, HASH_B);
    tell(3, HASH_A);
    settle();
    IS_INT(failures, 2);
    is_kept("1 " HASH_A "\n2 " HASH_A "\n3 " HASH_A "\n");
    tear_down();
}

TEST(a_new_process_knows_what_the_one_before_saw)
{
    set_up();
    OK(told(5, HASH_A));
    OK(!told(4, HASH_A));
    journal_open(settings);
    OK(!doctor_is_content()); /* before core has told anything */
    OK(told(5, HASH_A));
    OK(!doctor_is_content()); /* the evidence is on the disk */
    OK(!told(5, HASH_B));
    tear_down();
}

TEST(heads_that_cannot_be_read_are_the_doctors)
{
    struct err err = ERR_INIT;
    set_up();
    AUTO_FREE char *path = settings_data(settings, "host/journal-heads");
    OK(file_remove_tree(path, &err) == 0 && file_make_dirs(path, 0700, &err) == 0);
    journal_open(settings);
    OK(!doctor_is_content());
    OK(!told(1, HASH_A));
    OK(!doctor_is_content());
    OK(file_remove_tree(path, &err) == 0);
    OK(told(1, HASH_A));
    OK(doctor_is_content());
    tear_down();
}

TEST(a_torn_line_is_skipped_and_not_continued)
{
    set_up();
    OK(told(1, HASH_A));
    AUTO_FREE char *path = settings_data(settings, "host/journal-heads");
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    OK(write(fd, "2 0123", 6) == 6);
    journal_open(settings);
    OK(told(2, HASH_B));
    is_kept("1 " HASH_A "\n2 0123\n2 " HASH_B "\n");
    tear_down();
}

TEST(refuses_what_is_no_hash_and_no_file)
{
    int pipes[2];
    set_up();
    OK(!told(1, "0123\n9 f") && last.kind == E_FIELD_INVALID);
    OK(pipe2(pipes, O_CLOEXEC) == 0);
    open_replies++;
    channel_request(
        core, &(struct channel_request){
                  .verb = "journal.heads", .fds = {pipes[1]}, .fd_count = 1, .on_reply = replied});
    settle();
    IS_INT(last.kind, E_FIELD_INVALID);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    tear_down();
}

TAP_MAIN()
