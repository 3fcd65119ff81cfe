/* Real children: /bin/sh and friends. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/tap.h"
#include "io/child.h"
#include "io/until.h"

TAP_MAIN()

struct seen {
    bool done;
    int exits;
    struct child_result result;
    char out[4096];
    char error[256];
    size_t streamed;
    size_t pieces;
    struct child *child;
    bool drained;
};

static void keep(char *room, size_t size, struct str text)
{
    size_t length = text.length < size - 1 ? text.length : size - 1;
    if (length)
        memcpy(room, text.data, length);
    room[length] = '\0';
}

static void exited(void *context, const struct child_result *result)
{
    struct seen *s = context;
    s->result = *result;
    keep(s->out, sizeof(s->out), result->out);
    keep(s->error, sizeof(s->error), result->error);
    s->exits++;
    s->done = true;
}

static struct child_spec shell(struct seen *s, const char *script, const char *argv[4])
{
    argv[0] = "/bin/sh";
    argv[1] = "-c";
    argv[2] = script;
    argv[3] = NULL;
    return (struct child_spec){.argv = argv,
                               .stdin_fd = -1,
                               .out = CHILD_COLLECT,
                               .error = CHILD_COLLECT,
                               .on_exit = exited,
                               .context = s};
}

static void run(struct seen *s, const struct child_spec *spec)
{
    struct err err = ERR_INIT;
    OK(child_start(spec, &s->child, &err) == 0);
    OK(until(until_set, &s->done));
    IS_INT(s->exits, 1);
    until_quiet();
}

static void run_shell(struct seen *s, const char *script)
{
    const char *argv[4];
    struct child_spec spec = shell(s, script, argv);
    run(s, &spec);
}

TEST(collects_both_outputs)
{
    struct seen s = {0};
    run_shell(&s, "echo out; echo bad >&2; exit 3");
    IS_INT(s.result.exit_code, 3);
    IS_STR(s.out, "out\n");
    IS_STR(s.error, "bad\n");
}

TEST(environment_and_folder_are_fixed)
{
    struct seen s = {0};
    (void)setenv("LEAK", "x", 1);
    run_shell(&s, "env | grep -v '^_=' | sort; pwd");
    OK(strstr(s.out, "LANG=C.UTF-8\nPATH=/usr/local/sbin") != NULL);
    OK(strstr(s.out, "LEAK") == NULL);
    OK(strstr(s.out, "\n/\n") != NULL);
}

TEST(says_at_once_that_there_is_no_program)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    const char *argv[] = {"/no/such/program", NULL};
    struct child_spec spec = {.argv = argv, .stdin_fd = -1, .on_exit = exited, .context = &s};
    OK(child_start(&spec, NULL, &err) < 0);
    IS_INT(err.kind, E_SYSTEM);
    IS_STR(err.text, "cannot start '/no/such/program': no such file or directory");
    until_quiet();
    IS_INT(s.exits, 0);
}

TEST(knows_death_by_signal)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    run_shell(&s, "kill -TERM $$");
    IS_INT(s.result.exit_code, -1);
    IS_INT(s.result.signal, SIGTERM);
    OK(child_check(&s.result, "sh", &err) < 0);
    IS_STR(err.text, "sh was killed by signal 15");
}

TEST(check_quotes_the_first_line_of_errors)
{
    struct err err = ERR_INIT;
    struct child_result r = {.exit_code = 128, .error = STR("fatal: no\nmore\n")};
    OK(child_check(&r, "git", &err) < 0);
    IS_STR(err.text, "git exited 128: fatal: no");
    r.exit_code = 0;
    OK(child_check(&r, "git", &err) == 0);
}

TEST(output_past_its_limit_is_dropped_not_stuck)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "head -c 300000 /dev/zero | tr '\\0' x", argv);
    spec.output_max = 1000;
    run(&s, &spec);
    IS_INT(s.result.exit_code, 0);
    IS_INT(strlen(s.out), 1000);
}

TEST(stdin_data_is_given_and_closed)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "cat; echo end", argv);
    spec.stdin_pipe = true;
    spec.stdin_data = STR("hello ");
    run(&s, &spec);
    IS_STR(s.out, "hello end\n");
}

static void drained(void *context)
{
    struct seen *s = context;
    s->drained = true;
    child_close_stdin(s->child);
}

TEST(much_stdin_waits_for_the_reader)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    const char *argv[4];
    struct child_spec spec = shell(&s, "read -r go <&3; wc -c", argv);
    AUTO_FREE char *data = mem_alloc(1 << 20);
    int gate[2];
    OK(pipe2(gate, O_CLOEXEC) == 0);
    spec.stdin_pipe = true;
    spec.fds[0] = gate[0];
    spec.fd_count = 1;
    OK(child_start(&spec, &s.child, &err) == 0);
    child_on_drain(s.child, drained, &s);
    for (int i = 0; i < 3; i++)
        (void)child_write(s.child, data, 1 << 20);
    OK(child_write(s.child, data, 1) > (2 << 20));
    OK(write(gate[1], "go\n", 3) == 3);
    OK(until(until_set, &s.done));
    OK(s.drained);
    IS_STR(s.out, "3145729\n");
    (void)close(gate[0]);
    (void)close(gate[1]);
}

TEST(a_child_that_ignores_stdin_is_no_error)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "exit 0", argv);
    AUTO_FREE char *data = mem_alloc(1 << 20);
    spec.stdin_pipe = true;
    spec.stdin_data = (struct str){data, 1 << 20};
    run(&s, &spec);
    IS_INT(s.result.exit_code, 0);
}

static void streamed(void *context, int stream, struct str data)
{
    struct seen *s = context;
    OK(stream == 1);
    s->streamed += data.length;
    s->pieces++;
    if (s->pieces == 1)
        child_pause(s->child, true);
}

static bool one_piece(void *context)
{
    return ((struct seen *)context)->pieces > 0;
}

static void go_on(void *context)
{
    child_pause(((struct seen *)context)->child, false);
}

/* The pause outlasts the exit and the grace time: nothing may be lost. */
TEST(streams_with_pause_to_the_last_byte)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    struct timer *timer = NULL;
    const char *argv[4];
    struct child_spec spec =
        shell(&s, "printf x; read -r go; head -c 60000 /dev/zero; exit 0", argv);
    spec.out = CHILD_STREAM;
    spec.on_output = streamed;
    spec.stdin_pipe = true;
    OK(child_start(&spec, &s.child, &err) == 0);
    OK(until(one_piece, &s));
    (void)child_write(s.child, "go\n", 3);
    timer_start(&timer, 500, 0, go_on, &s);
    OK(until(until_set, &s.done));
    IS_INT(s.streamed, 60001);
    IS_INT(s.result.exit_code, 0);
}

TEST(timeout_kills_the_group)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    const char *argv[4];
    struct child_spec spec = shell(&s, "cat /dev/zero | cat > /dev/null & wait", argv);
    spec.timeout_ms = 50;
    run(&s, &spec);
    OK(s.result.timed_out);
    IS_INT(s.result.signal, SIGKILL);
    OK(child_check(&s.result, "sh", &err) < 0);
    IS_INT(err.kind, E_TIMEOUT);
}

TEST(a_grandchild_does_not_hold_us_up)
{
    struct seen s = {0};
    int64_t start = clock_mono_ms(clock_system());
    run_shell(&s, "setsid tail -f /dev/null & echo $!; exit 0");
    int64_t took = clock_mono_ms(clock_system()) - start;
    OK(took >= 150 && took < 5000);
    IS_INT(s.result.exit_code, 0);
    (void)kill((pid_t)strtol(s.out, NULL, 10), SIGKILL);
}

TEST(only_listed_fds_get_there_in_their_order)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "cat <&3; cat <&4; echo /proc/self/fd/*", argv);
    int one[2], two[2];
    OK(pipe(one) == 0 && pipe(two) == 0); /* without O_CLOEXEC on purpose */
    OK(write(one[1], "A", 1) == 1 && write(two[1], "B", 1) == 1);
    (void)close(one[1]);
    (void)close(two[1]);
    spec.fds[0] = two[0]; /* crosswise: 3 and 4 of the child may be 4 and 3 of ours */
    spec.fds[1] = one[0];
    spec.fd_count = 2;
    run(&s, &spec);
    IS_STR(s.out, "BA/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3 "
                  "/proc/self/fd/4 /proc/self/fd/5\n"); /* 5 is the folder that it lists */
    (void)close(one[0]);
    (void)close(two[0]);
}

TEST(output_can_be_an_fd)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "echo both; echo of us >&2", argv);
    int ends[2];
    char text[32] = {0};
    OK(pipe2(ends, O_CLOEXEC) == 0);
    spec.out = spec.error = CHILD_FD;
    spec.stdout_fd = spec.stderr_fd = ends[1];
    run(&s, &spec);
    OK(read(ends[0], text, sizeof(text) - 1) > 0);
    IS_STR(text, "both\nof us\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TEST(signals_are_as_a_new_process_has_them)
{
    struct seen s = {0};
    run_shell(&s, "grep -E '^Sig(Blk|Ign)' /proc/self/status");
    IS_STR(s.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(drops_to_another_user)
{
    struct seen s = {0};
    const char *argv[4];
    struct child_spec spec = shell(&s, "id -u; id -g; id -G", argv);
    if (geteuid() != 0)
        return;
    spec.uid = 65534;
    spec.gid = 65533;
    run(&s, &spec);
    IS_STR(s.out, "65534\n65533\n65533\n");
}

static bool is_gone(void *context)
{
    return kill(*(pid_t *)context, 0) < 0;
}

TEST(abandoned_children_are_killed_in_silence)
{
    struct seen s = {0};
    struct err err = ERR_INIT;
    const char *argv[4];
    struct child_spec spec = shell(&s, "tail -f /dev/null", argv);
    OK(child_start(&spec, &s.child, &err) == 0);
    pid_t pid = child_pid(s.child);
    child_abandon(s.child);
    OK(until(is_gone, &pid));
    until_quiet();
    IS_INT(s.exits, 0);
}

static int many_exits;

static void one_of_many(void *context, const struct child_result *result)
{
    many_exits += result->exit_code == 0 && str_is(result->out, "x");
    *(bool *)context = many_exits == 40;
}

TEST(many_at_once)
{
    bool done = false;
    struct err err = ERR_INIT;
    const char *argv[] = {"/bin/echo", "-n", "x", NULL};
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .out = CHILD_COLLECT,
                              .on_exit = one_of_many,
                              .context = &done};
    for (int i = 0; i < 40; i++)
        OK(child_start(&spec, NULL, &err) == 0);
    OK(until(until_set, &done));
    until_quiet();
    OK(!uv_loop_alive(loop_get()));
}
