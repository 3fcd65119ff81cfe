/* Builds for real, on the base "host": needs root, crun, nft, gcc. */
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "host/build/build_fixture.h"

#define NUMBER 5

/* Nothing of any build may be left: mounts, containers, loop devices. */
static void nothing_left(void)
{
    OK(!mounts_left());
    AUTO_JSON *groups = sandbox_cgroup_list();
    AUTO_FREE char *left = json_print(groups);
    IS_STR(left, "[]");
}

#define HOST "\"base\":{\"kind\":\"host\"}"
static const char *const hello_c[] = {
    "hello.c", "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n", NULL};
#define HELLO                                                                                      \
    "{" HOST ",\"steps\":[{\"name\":\"compile\",\"run\":[\"gcc\",\"-o\",\"hello\",\"hello.c\"]},"  \
    "{\"name\":\"look\",\"run\":[\"id\"]}],"                                                       \
    "\"checks\":[{\"name\":\"runs\",\"run\":[\"./hello\"],\"report\":null,\"format\":\"exit\"}],"  \
    "\"output\":[\"hello\"],\"image\":{\"command\":[\"/app/hello\"],\"port\":3000},"               \
    "\"provenance\":{\"commit\":\"x\"}}"

#define SLEEPING                                                                                   \
    "{" HOST ",\"cache\":[\"/root/.cache\"],\"steps\":[{\"name\":\"s\",\"run\":[\"sh\",\"-c\","    \
    "\"echo on; sleep 1000\"]}],\"output\":[\".\"]}"

static void until_on(struct answer *a)
{
    while (!a->over && !(a->output.data && strstr(a->output.data, "on")))
        (void)uv_run(loop_get(), UV_RUN_ONCE);
}

/* The host that is killed: this program again, with a build that sleeps. */
static int run_and_die(void)
{
    struct answer a;
    if (!ready(NUMBER))
        return 1;
    build_start(&a, "shop.test.b900", hello_c, SLEEPING);
    until_on(&a);
    (void)raise(SIGKILL);
    return 1;
}

static int loop_devices(void)
{
    int count = 0;
    for (int i = 0; i < 64; i++) {
        AUTO_FREE char *path = mem_format("/sys/block/loop%d/loop/backing_file", i);
        AUTO_BUF text = BUF_INIT(0);
        struct err err = ERR_INIT;
        count += file_read(path, 8192, &text, &err) == 0 && strstr(text.data, fixture_folder());
    }
    return count;
}

/* First: it needs the folder before this process has made its own host there. */
TEST(a_killed_host_leaves_nothing)
{
    struct answer a;
    int status;
    if (geteuid() != 0)
        return;
    (void)setenv("FIXTURE_FOLDER", fixture_folder(), 1);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/proc/self/exe", "build-test", "run-and-die", NULL);
        _exit(127);
    }
    OK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    if (!ready(NUMBER))
        return;
    AUTO_FREE char *folder = settings_data(host.settings, "host/builds/shop.test.b900");
    OK(!file_exists(folder));
    build_wait(&a, "shop.test.b900", NULL, SLEEPING);
    IS_STR(err_name(a.err.kind), "not_found");
    answer_done(&a);
    int64_t limit = clock_mono_ms(clock_system()) + 5000;
    while (loop_devices() > 0 && clock_mono_ms(clock_system()) < limit)
        turn(50);
    IS_INT(loop_devices(), 0);
    nothing_left();
}

static void check_unpacked(const char *artifact)
{
    struct artifact_root root = {0};
    struct err err = ERR_INIT;
    struct stat st;
    IS_INT(artifact_root(artifact, &root, &err), 0);
    AUTO_FREE char *path = mem_format("%s/app/hello", root.lower[0]);
    OK(stat(path, &st) == 0 && st.st_uid == 0 && (st.st_mode & 07777) == 0755);
    OK(root.lower[1] != NULL && root.lower[2] == NULL);
    OK(root.bind_count > 0);
    IS_STR(json_text(root.config, "workdir"), "/app");
    IS_INT(json_int(root.config, "port", 0), 3000);
    artifact_root_done(&root);
}

static void is_timeline(const json_t *steps, const char *want)
{
    AUTO_BUF text = BUF_INIT(0);
    size_t i;
    json_t *step;
    json_array_foreach((json_t *)steps, i, step)
    {
        (void)buf_add_format(&text, "%s%s %s", i ? ", " : "", json_text_or(step, "step", "?"),
                             json_text_or(step, "state", "?"));
        OK(json_int(step, "at", 0) > 0 && json_int(step, "ms", -1) >= 0);
    }
    IS_STR(text.data, want);
}

TEST(a_c_program_becomes_an_artifact)
{
    struct answer a, again, prepare;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b1", hello_c, HELLO);
    const char *artifact = json_text_or(a.ok, "artifact", "");
    OK(str_is_digest(str_of(artifact)));
    IS_STR(json_text_or(a.ok, "base", ""), "host");
    OK(a.output.data && strstr(a.output.data, "uid=0(root)"));
    is_timeline(a.steps, "base done, source done, compile done, look done, runs done, pack done");
    OK(json_equal(a.steps, json_list(a.ok, "steps")));
    build_wait(&again, "shop.test.b1", NULL, HELLO);
    OK(json_equal(a.steps, json_list(again.ok, "steps")));
    IS_STR(json_text_or(again.ok, "artifact", ""), artifact);
    json_t *args = json_object();
    json_put_text(args, "artifact", artifact);
    ask(&prepare, "release.prepare", args, -1);
    wait_for(&prepare);
    (void)printf("# prepare: %lld ms %s\n", (long long)prepare.ms, prepare.err.text);
    check_unpacked(artifact);
    nothing_left();
    answer_done(&a);
    answer_done(&again);
    answer_done(&prepare);
}

/* Variables, words of steps and labels of the image are given on as they are: no shell reads them.
 */
TEST(what_a_shell_would_run_is_delivered_literally)
{
    static const char literal[] =
        "x=$(touch CANARY) `touch CANARY` ${HOME} ; touch CANARY & | \\n 'q'";
    struct answer a;
    if (!ready(NUMBER))
        return;
    AUTO_JSON *value = json_string(literal);
    AUTO_FREE char *quoted = json_dumps(value, JSON_ENCODE_ANY);
    AUTO_FREE char *spec = mem_format(
        "{" HOST ",\"env\":{\"LITERAL\":%s},\"steps\":["
        "{\"name\":\"env\",\"run\":[\"printenv\",\"LITERAL\"]},"
        "{\"name\":\"word\",\"run\":[\"printf\",\"<%%s>\\n\",%s]},"
        "{\"name\":\"$(touch CANARY)\",\"run\":[\"find\",\"/\",\"-xdev\",\"-name\",\"CANARY\"]}],"
        "\"output\":[\"hello.c\"],\"image\":{\"command\":[\"/app/x\",%s],\"env\":{\"E\":%s}}}",
        quoted, quoted, quoted, quoted);
    build_wait(&a, "shop.test.b4", hello_c, spec);
    IS_STR(err_name(a.err.kind), "ok");
    AUTO_FREE char *line = mem_format("%s\n", literal);
    AUTO_FREE char *word = mem_format("<%s>\n", literal);
    OK(a.output.data && strstr(a.output.data, line) && strstr(a.output.data, word));
    OK(a.output.data && !strstr(a.output.data, "/CANARY\n"));
    OK(access("/tmp/CANARY", F_OK) < 0 && access("/CANARY", F_OK) < 0 &&
       access("CANARY", F_OK) < 0);
    answer_done(&a);
}

TEST(the_same_source_gives_the_same_layer)
{
    struct answer a, b;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b2", hello_c, HELLO);
    build_wait(&b, "shop.test.b3", hello_c, HELLO);
    IS_STR(json_text_or(a.ok, "layer", "a"), json_text_or(b.ok, "layer", "b"));
    answer_done(&a);
    answer_done(&b);
}

TEST(failures_have_names)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b10", hello_c,
               "{" HOST
               ",\"steps\":[{\"name\":\"no\",\"run\":[\"sh\",\"-c\",\"echo why >&2; exit 3\"]"
               "}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "build_failed");
    IS_STR(a.err.text, "step 'no' exited 3");
    OK(a.output.data && strstr(a.output.data, "why\n"));
    is_timeline(a.steps, "base done, source done, no failed");
    answer_done(&a);
    build_wait(&a, "shop.test.b10", NULL, HELLO); /* its answer, again */
    IS_STR(err_name(a.err.kind), "build_failed");
    is_timeline(a.steps, "base done, source done, no failed");
    answer_done(&a);
    build_wait(&a, "shop.test.b11", hello_c, "{" HOST ",\"steps\":[],\"output\":[\"dist\"]}");
    IS_STR(err_name(a.err.kind), "not_found");
    answer_done(&a);
    build_wait(&a, "shop.test.b12", hello_c,
               "{" HOST
               ",\"steps\":[{\"name\":\"l\",\"run\":[\"ln\",\"-s\",\"/etc/shadow\",\"out\"]}],"
               "\"output\":[\"out\"]}");
    IS_STR(err_name(a.err.kind), "path_escapes");
    answer_done(&a);
    build_wait(&a, "shop.test.b13", NULL, HELLO);
    IS_STR(err_name(a.err.kind), "not_found");
    answer_done(&a);
    build_wait(&a, "shop.test.b14", hello_c,
               "{" HOST
               ",\"seconds\":1,\"steps\":[{\"name\":\"s\",\"run\":[\"sleep\",\"infinity\"]}],"
               "\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "timeout");
    answer_done(&a);
    nothing_left();
}

TEST(checks_with_reports)
{
    static const char *const files[] = {"report.xml",
                                        "<testsuite><testcase name='a'/><testcase "
                                        "name='b'><failure message='s3cr3tvalue'/></testcase>"
                                        "</testsuite>",
                                        "t.tap", "1..2\nok 1 - x\nok 2 - y\n", NULL};
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(
        &a, "shop.test.b20", files,
        "{" HOST ",\"steps\":[],\"output\":[\".\"],\"checks\":["
        "{\"name\":\"tap\",\"run\":[\"cat\",\"t.tap\"],\"report\":null,\"format\":\"tap\"}]}");
    json_t *check = json_array_get(json_list(a.ok, "checks"), 0);
    IS_INT(json_int(check, "passed", 0), 2);
    OK(json_bool(check, "ok", false));
    answer_done(&a);
    build_wait(&a, "shop.test.b21", files,
               "{" HOST ",\"steps\":[],\"output\":[\".\"],\"checks\":["
               "{\"name\":\"unit\",\"run\":[\"touch\",\"report.xml\"],\"report\":\"report.xml\","
               "\"format\":\"junit\"}]}");
    IS_STR(err_name(a.err.kind), "check_failed");
    IS_STR(a.err.text, "check 'unit' failed: 1 of 2 tests");
    answer_done(&a);
    build_wait(&a, "shop.test.b21", NULL,
               ""); /* core was away: it hears of the cases all the same */
    IS_STR(err_name(a.err.kind), "check_failed");
    check = json_array_get(a.checks, 0);
    IS_INT(json_int(check, "failed", 0), 1);
    IS_INT((int64_t)json_array_size(json_list(check, "cases")), 2);
    answer_done(&a);
    build_wait(&a, "shop.test.b23", files,
               "{" HOST ",\"steps\":[],\"output\":[\".\"],\"checks\":[{\"name\":\"stale\",\"run\":"
               "[\"true\"],\"report\":\"report.xml\",\"format\":\"junit\"}]}");
    IS_STR(err_name(a.err.kind), "check_failed");
    answer_done(&a);
    build_wait(&a, "shop.test.b22", files,
               "{" HOST
               ",\"steps\":[],\"output\":[\".\"],\"checks\":[{\"name\":\"unit\",\"run\":[\"ln\","
               "\"-s\",\"/etc/passwd\",\"r.xml\"],\"report\":\"r.xml\",\"format\":\"junit\"}]}");
    IS_STR(err_name(a.err.kind), "check_failed");
    answer_done(&a);
}

/* A runner that found none exits 0 and reports none: that is not what anybody calls tested. */
TEST(a_report_of_no_tests_is_a_failed_check)
{
    static const char *const files[] = {"x", "", NULL};
    static const char *const specs[] = {
        "{" HOST ",\"output\":[\".\"],\"checks\":[{\"name\":\"unit\",\"run\":[\"sh\",\"-c\","
        "\"echo '<testsuite/>' > r.xml\"],\"report\":\"r.xml\",\"format\":\"junit\"}]}",
        "{" HOST ",\"output\":[\".\"],\"checks\":[{\"name\":\"unit\",\"run\":[\"echo\","
        "\"1..0\"],\"format\":\"tap\"}]}",
        "{" HOST ",\"output\":[\".\"],\"checks\":[{\"name\":\"unit\",\"run\":[\"echo\","
        "\"1..0\"],\"format\":\"tap\",\"allow_empty\":true}]}"};
    struct answer a;
    if (!ready(NUMBER))
        return;
    for (int i = 0; i < 3; i++) {
        AUTO_FREE char *name = mem_format("shop.test.b%d", 24 + i);
        build_wait(&a, name, files, specs[i]);
        IS_STR(err_name(a.err.kind), i < 2 ? "check_failed" : "ok");
        IS_STR(a.err.text, i < 2 ? "check 'unit' failed: no tests in its report" : "");
        OK(a.output.data && strstr(a.output.data, "slipway: no tests in the report\n"));
        answer_done(&a);
    }
    nothing_left();
}

TEST(cancel_kills_within_a_second)
{
    struct answer a, cancel;
    if (!ready(NUMBER))
        return;
    build_start(
        &a, "shop.test.b30", hello_c,
        "{" HOST ",\"steps\":[{\"name\":\"s\",\"run\":[\"sh\",\"-c\","
        "\"trap '' TERM; echo on; (setsid sleep 1000 &) ; sleep 1000\"]}],\"output\":[\".\"]}");
    while (!a.over && !(a.output.data && strstr(a.output.data, "on")))
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    json_t *args = json_object();
    json_put_text(args, "build", "shop.test.b30");
    ask(&cancel, "build.cancel", args, -1);
    wait_for(&cancel);
    (void)printf("# cancel: %lld ms\n", (long long)cancel.ms);
    OK(cancel.ms < 1000);
    wait_for(&a);
    IS_STR(err_name(a.err.kind), "cancelled");
    nothing_left();
    answer_done(&a);
    answer_done(&cancel);
}

TEST(secrets_are_files_and_masked)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(
        &a, "shop.test.b40", hello_c,
        "{" HOST ",\"secrets\":[{\"name\":\"TOKEN\",\"value_b64\":\"aHVudGVyMjJodW50ZXI=\"},"
        "{\"name\":\"key\",\"value_b64\":\"c2VjcmV0c2VjcmV0\",\"file\":true}],"
        "\"steps\":[{\"name\":\"s\",\"run\":[\"sh\",\"-c\",\"echo a $TOKEN; cat /run/secrets/key;"
        " echo; cat /run/secrets/TOKEN; echo $TOKEN | base64; echo $TOKEN | od -An -tx1 | tr -d"
        " ' '\"]}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "ok");
    OK(a.output.data && strstr(a.output.data, "a ***\n***\n***"));
    OK(a.output.data && !strstr(a.output.data, "hunter22") &&
       !strstr(a.output.data, "aHVudGVyMjJ"));
    OK(a.output.data && !strstr(a.output.data, "68756e746572"));
    answer_done(&a);
    nothing_left();
}

TEST(a_gigabyte_of_output_is_capped)
{
    struct answer a, read;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b50", hello_c,
               "{" HOST ",\"steps\":[{\"name\":\"s\",\"run\":[\"head\",\"-c\",\"1000000000\","
               "\"/dev/zero\"]}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "ok");
    json_t *args = json_object();
    json_put_text(args, "build", "shop.test.b50");
    json_put_int(args, "offset", 999999999);
    ask(&read, "build.output", args, -1);
    wait_for(&read);
    IS_INT(json_int(read.ok, "size", 0), 1000000000);
    IS_INT(json_int(read.ok, "dropped", 0), 1000000000 - (8 << 20));
    OK(json_bool(read.ok, "end", false));
    answer_done(&a);
    answer_done(&read);
}

TEST(a_fork_bomb_ends_as_resource_pids)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b60", hello_c,
               "{" HOST ",\"pids\":100,\"steps\":[{\"name\":\"bomb\",\"run\":[\"bash\",\"-c\","
               "\"f() { f | f & }; while :; do f; done\"]}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "resource_pids");
    answer_done(&a);
    build_wait(&a, "shop.test.b61", hello_c, HELLO);
    IS_STR(err_name(a.err.kind), "ok");
    answer_done(&a);
    nothing_left();
}

TEST(memory_and_disk_have_limits)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b70", hello_c,
               "{" HOST ",\"memory\":67108864,\"steps\":[{\"name\":\"m\",\"run\":[\"perl\",\"-e\","
               "\"$x = 'x' x (1 << 30)\"]}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "resource_memory");
    answer_done(&a);
    build_wait(&a, "shop.test.b71", hello_c,
               "{" HOST ",\"volume\":67108864,\"steps\":[{\"name\":\"d\",\"run\":[\"dd\","
               "\"if=/dev/zero\",\"of=big\",\"bs=1M\"]}],\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "resource_disk");
    answer_done(&a);
    nothing_left();
}

TEST(a_build_gets_no_more_than_the_installation_allows)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    struct settings *s = (struct settings *)host.settings;
    const struct settings before = *s;
    s->build_memory = 64 << 20;
    s->build_seconds = 20;
    build_wait(&a, "shop.test.b72", hello_c,
               "{" HOST ",\"memory\":1099511627776,\"seconds\":86400,\"pids\":100,\"steps\":[{"
               "\"name\":\"m\",\"run\":[\"perl\",\"-e\",\"$x = 'x' x (1 << 30)\"]}],"
               "\"output\":[\".\"]}");
    *s = before;
    IS_STR(err_name(a.err.kind), "resource_memory");
    OK(a.output.data && strstr(a.output.data, "slipway: memory: 1099511627776 was asked for, "
                                              "67108864 is the most here (setting build_memory)\n"
                                              "slipway: seconds: 86400 was asked for, 20 is"));
    OK(a.output.data && !strstr(a.output.data, "pids:"));
    answer_done(&a);
    nothing_left();
}

TEST(a_cache_lives_on_for_its_app_env)
{
    static const char spec[] =
        "{" HOST ",\"cache\":[\"/root/.cache\"],\"steps\":[{\"name\":\"c\",\"run\":[\"sh\",\"-c\","
        "\"cat /root/.cache/n || true; echo kept > /root/.cache/n\"]}],\"output\":[\".\"]}";
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b80", hello_c, spec);
    IS_STR(err_name(a.err.kind), "ok");
    answer_done(&a);
    build_wait(&a, "shop.test.b81", hello_c, spec);
    OK(a.output.data && strstr(a.output.data, "kept\n"));
    answer_done(&a);
    turn(300);
    nothing_left();
}

TEST(another_app_env_never_sees_that_cache)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    fixture_app_env = "other.test";
    build_wait(&a, "other.test.b1", hello_c,
               "{" HOST ",\"cache\":[\"/root/.cache\"],\"steps\":[{\"name\":\"c\",\"run\":"
               "[\"find\",\"/root/.cache\"]}],\"output\":[\".\"]}");
    fixture_app_env = "shop.test";
    IS_STR(a.output.data, "/root/.cache\n");
    answer_done(&a);
    turn(300);
}

TEST(queued_builds_run_in_turn_and_can_be_cancelled)
{
    struct answer first, second, third, cancel;
    if (!ready(NUMBER))
        return;
    build_start(&first, "shop.test.b100", hello_c, SLEEPING);
    until_on(&first);
    build_start(&second, "shop.test.b101", hello_c, HELLO);
    build_start(&third, "shop.test.b102", hello_c, HELLO);
    turn(100);
    json_t *args = json_pack("{s:s}", "build", "shop.test.b101");
    ask(&cancel, "build.cancel", args, -1);
    wait_for(&cancel);
    wait_for(&second);
    IS_STR(err_name(second.err.kind), "cancelled");
    OK(!first.over && !third.over);
    answer_done(&cancel);
    ask(&cancel, "build.cancel", json_pack("{s:s}", "build", "shop.test.b100"), -1);
    wait_for(&cancel);
    wait_for(&first);
    wait_for(&third);
    IS_STR(err_name(first.err.kind), "cancelled");
    IS_STR(err_name(third.err.kind), "ok");
    answer_done(&first);
    answer_done(&second);
    answer_done(&third);
    answer_done(&cancel);
    turn(300);
    nothing_left();
}

/* Instances come first where the processors are busy. */
static bool builds_weigh_little(void)
{
    int64_t weight = root_test_weight(host.settings, "build");
    return weight > 0 && weight <= 10;
}

/* Its sender would give up if it had to wait as long as a build may queue. */
TEST(a_tree_is_asked_for_when_it_is_its_turn)
{
    struct answer first, second, cancel;
    if (!ready(NUMBER))
        return;
    build_start(&first, "shop.test.b103", hello_c, SLEEPING);
    until_on(&first);
    OK(builds_weigh_little());
    build_start(&second, "shop.test.b104", hello_c, HELLO);
    turn(300);
    IS_INT(first.sources, 1);
    IS_INT(second.sources, 0);
    ask(&cancel, "build.cancel", json_pack("{s:s}", "build", "shop.test.b103"), -1);
    wait_for(&cancel);
    wait_for(&second);
    IS_STR(err_name(second.err.kind), "ok");
    IS_INT(second.sources, 1);
    wait_for(&first);
    answer_done(&first);
    answer_done(&second);
    answer_done(&cancel);
    nothing_left();
}

TEST(a_tree_that_was_cut_is_asked_for_again)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    build_start(&a, "shop.test.b105", hello_c, HELLO);
    a.cut = 2;
    wait_for(&a);
    IS_STR(err_name(a.err.kind), "ok");
    IS_INT(a.sources, 3);
    answer_done(&a);
    nothing_left();
}

TEST(a_build_that_waits_for_its_tree_can_be_cancelled)
{
    struct answer a, again, cancel;
    if (!ready(NUMBER))
        return;
    ask(&a, "build.run", run_args("shop.test.b106", HELLO), -1);
    while (a.sources == 0)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    build_start(&again, "shop.test.b106", NULL, HELLO); /* who was away is told */
    while (again.sources == 0)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    ask(&cancel, "build.cancel", json_pack("{s:s}", "build", "shop.test.b106"), -1);
    wait_for(&cancel);
    wait_for(&a);
    wait_for(&again);
    IS_STR(err_name(a.err.kind), "cancelled");
    OK(cancel.ms < 1000);
    answer_done(&a);
    answer_done(&again);
    answer_done(&cancel);
    nothing_left();
}

TEST(a_full_disk_is_said_plainly)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    struct settings *s = (struct settings *)host.settings;
    int64_t reserve = s->disk_reserve;
    s->disk_reserve = 1ll << 60;
    build_wait(&a, "shop.test.b110", hello_c, HELLO);
    IS_STR(err_name(a.err.kind), "disk_full");
    s->disk_reserve = reserve;
    answer_done(&a);
}

static const char *evil(const char *name, const char *tar_name, mode_t type, const char *target)
{
    struct answer a;
    struct archive *tar = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    int fd = memfd_create("tree", MFD_CLOEXEC);
    OK(archive_write_set_format_pax_restricted(tar) == ARCHIVE_OK);
    OK(archive_write_open_fd(tar, fd) == ARCHIVE_OK);
    archive_entry_set_pathname(e, tar_name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, 0);
    if (target)
        archive_entry_set_hardlink(e, target);
    OK(archive_write_header(tar, e) == ARCHIVE_OK);
    archive_entry_free(e);
    OK(archive_write_free(tar) == ARCHIVE_OK);
    (void)lseek(fd, 0, SEEK_SET);
    ask(&a, "build.run", run_args(name, "{" HOST ",\"output\":[\".\"]}"), fd);
    wait_for(&a);
    answer_done(&a);
    return err_name(a.err.kind);
}

TEST(evil_sources_are_refused_by_the_narrowed_child)
{
    if (!ready(NUMBER))
        return;
    IS_STR(evil("shop.test.b120", "../../etc/cron.d/x", AE_IFREG, NULL), "archive_path");
    IS_STR(evil("shop.test.b121", "/etc/x", AE_IFREG, NULL), "archive_path");
    IS_STR(evil("shop.test.b122", "h", AE_IFREG, "/etc/shadow"), "archive_path");
    IS_STR(evil("shop.test.b123", "dev", AE_IFCHR, NULL), "archive_type");
    nothing_left();
}

/* What `grep -rl` finds below the installation's folder, or "" for nothing. */
static char *grep(const char *text)
{
    int ends[2];
    struct buf out = {0};
    struct err err = ERR_INIT;
    OK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 1);
        (void)execl("/bin/grep", "grep", "-rlaF", text, fixture_folder(), NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    OK(file_read_fd(ends[0], 1u << 20, &out, &err) == 0);
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return buf_take(&out);
}

TEST(no_secret_stays_on_disk)
{
    struct answer a;
    if (!ready(NUMBER))
        return;
    /* "canary-4711-canary" */
    build_wait(&a, "shop.test.b130", hello_c,
               "{" HOST ",\"secrets\":[{\"name\":\"TOKEN\",\"value_b64\":"
               "\"Y2FuYXJ5LTQ3MTEtY2FuYXJ5\"}],\"steps\":[{\"name\":\"s\",\"run\":[\"env\"]}],"
               "\"output\":[\".\"]}");
    IS_STR(err_name(a.err.kind), "ok");
    OK(a.output.data && strstr(a.output.data, "TOKEN=***"));
    turn(500);
    AUTO_FREE char *found = grep("canary-4711-canary");
    IS_STR(found, "");
    AUTO_FREE char *encoded = grep("Y2FuYXJ5LTQ3MTEtY2FuYXJ5");
    IS_STR(encoded, "");
    answer_done(&a);
}

/* Everything of the store but its lock looks two hours old. */
static void age_all(void)
{
    static const char *const folders[] = {"blobs/sha256", "unpacked", "builds", "bases"};
    struct timespec old[2] = {{time(NULL) - 7200, 0}, {time(NULL) - 7200, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *below = mem_format("host/%s", folders[i]);
        AUTO_FREE char *folder = settings_data(host.settings, below);
        DIR *dir = opendir(folder);
        for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
            (void)utimensat(dirfd(dir), e->d_name, old, AT_SYMLINK_NOFOLLOW);
        if (dir)
            (void)closedir(dir);
    }
}

static int64_t retain(const char *keep)
{
    struct answer a;
    json_t *list = json_array();
    if (keep)
        json_push(list, json_str_value(str_of(keep)));
    ask(&a, "retention", json_pack("{s:o}", "keep", list), -1);
    wait_for(&a);
    int64_t removed = json_int(a.ok, "removed", -1);
    answer_done(&a);
    return removed;
}

TEST(retention_keeps_what_is_kept_and_what_is_young)
{
    static const char *const other[] = {"other", "x", NULL};
    struct answer a, prepare;
    struct artifact_root root = {0};
    struct err err = ERR_INIT;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b139", other, "{" HOST ",\"output\":[\".\"]}");
    answer_done(&a);
    build_wait(&a, "shop.test.b140", hello_c, HELLO);
    const char *artifact = json_text_or(a.ok, "artifact", "");
    ask(&prepare, "release.prepare", json_pack("{s:s}", "artifact", artifact), -1);
    wait_for(&prepare);
    IS_INT(retain(NULL), 0); /* all of it is young */
    age_all();
    OK(retain(artifact) > 0); /* the other builds' */
    IS_INT(artifact_root(artifact, &root, &err), 0);
    artifact_root_done(&root);
    IS_INT(retain(artifact), 0);
    AUTO_FREE char *below = mem_format("host/blobs/sha256/%s", artifact + strlen("sha256:"));
    AUTO_FREE char *manifest = settings_data(host.settings, below);
    AUTO_BUF text = BUF_INIT(1 << 20);
    IS_INT(file_read(manifest, 1 << 20, &text, &err), 0);
    IS_INT(file_write(manifest, STR("{"), 0444, &err), 0);
    age_all();
    IS_INT(retain(artifact), -1); /* refused: its layers may be needed */
    IS_INT(file_write(manifest, buf_str(&text), 0444, &err), 0);
    age_all();
    IS_INT(artifact_root(artifact, &root, &err), 0);
    artifact_root_done(&root);
    OK(retain(NULL) >= 5); /* manifest, config, layer, provenance, unpacked, record */
    OK(artifact_root(artifact, &root, &err) < 0);
    IS_STR(err_name(err.kind), "not_found");
    answer_done(&a);
    answer_done(&prepare);
    build_wait(&a, "shop.test.b140", NULL, HELLO);
    IS_STR(err_name(a.err.kind), "not_found");
    answer_done(&a);
}

/* Output of builds that are forgotten by their artifacts: the newest stay, and what failed. */
TEST(output_outlives_the_artifact)
{
    static const char fine[] = "{" HOST ",\"steps\":[{\"name\":\"s\",\"run\":[\"echo\",\"x\"]}],"
                               "\"output\":[\".\"]}";
    struct answer a, read;
    if (!ready(NUMBER))
        return;
    fixture_app_env_id = 9;
    build_wait(&a, "many.test.b1", hello_c,
               "{" HOST ",\"steps\":[{\"name\":\"s\",\"run\":[\"sh\",\"-c\",\"echo why; exit 1\"]}"
               "],\"output\":[\".\"]}");
    answer_done(&a);
    for (int i = 2; i <= 23; i++) {
        AUTO_FREE char *name = mem_format("many.test.b%d", i);
        AUTO_FREE char *folder = settings_data(host.settings, "host/builds/many.test.b2");
        build_wait(&a, name, hello_c, fine);
        answer_done(&a);
        if (i == 2) { /* the oldest of the good ones */
            struct timespec old[2] = {{time(NULL) - 9000, 0}, {time(NULL) - 9000, 0}};
            OK(utimensat(AT_FDCWD, folder, old, 0) == 0);
        }
    }
    AUTO_FREE char *first = settings_data(host.settings, "host/builds/many.test.b1");
    AUTO_FREE char *second = settings_data(host.settings, "host/builds/many.test.b2");
    AUTO_FREE char *last = settings_data(host.settings, "host/builds/many.test.b23");
    struct timespec days[2] = {{time(NULL) - 12 * 86400, 0}, {time(NULL) - 12 * 86400, 0}};
    OK(utimensat(AT_FDCWD, first, days, 0) == 0);
    OK(retain(NULL) >= 0);
    OK(file_exists(first) && !file_exists(second) && file_exists(last));
    ask(&read, "build.output", json_pack("{s:s,s:i}", "build", "many.test.b1", "offset", 0), -1);
    wait_for(&read);
    OK(strstr(json_text_or(read.ok, "text", ""), "why\n"));
    answer_done(&read);
    fixture_app_env_id = 10; /* an app of the same name, made after that one was removed */
    build_wait(&a, "many.test.b23", NULL, fine);
    IS_STR(err_name(a.err.kind), "not_found");
    answer_done(&a);
    ask(&read, "app_env.forget", json_pack("{s:i}", "app_env_id", 9), -1);
    wait_for(&read);
    OK(!file_exists(first) && !file_exists(last));
    answer_done(&read);
    fixture_app_env_id = 7;
    nothing_left();
}

TEST(a_cache_goes_with_its_app_env_and_with_age)
{
    static const char spec[] =
        "{" HOST ",\"cache\":[\"/root/.cache\"],\"steps\":[{\"name\":\"c\",\"run\":[\"true\"]}],"
        "\"output\":[\".\"]}";
    struct answer a;
    if (!ready(NUMBER))
        return;
    AUTO_FREE char *folder = settings_data(host.settings, "host/caches/11.shop.test");
    AUTO_FREE char *volume = mem_format("%s/volume", folder);
    AUTO_FREE char *clean = mem_format("%s/clean", folder);
    fixture_app_env_id = 11;
    build_wait(&a, "shop.test.b200", hello_c, spec);
    answer_done(&a);
    turn(300);
    OK(file_exists(volume));
    struct timespec old[2] = {{time(NULL) - 31 * 86400, 0}, {time(NULL) - 31 * 86400, 0}};
    OK(retain(NULL) >= 0 && file_exists(volume));
    OK(utimensat(AT_FDCWD, clean, old, 0) == 0);
    OK(retain(NULL) >= 1 && !file_exists(volume));
    build_wait(&a, "shop.test.b201", hello_c, spec);
    answer_done(&a);
    turn(300);
    struct answer forgotten;
    build_start(&a, "shop.test.b202", hello_c, spec);
    ask(&forgotten, "app_env.forget", json_pack("{s:i}", "app_env_id", 11), -1);
    wait_for(&forgotten);
    OK(a.over); /* the build was over by then */
    IS_STR(err_name(a.err.kind), "cancelled");
    OK(!file_exists(folder));
    answer_done(&forgotten);
    answer_done(&a);
    fixture_app_env_id = 7;
    turn(300);
    nothing_left();
}

int main(int argc, char **argv)
{
    if (argc > 1 && text_is(argv[1], "run-and-die"))
        return run_and_die();
    return build_fixture_main(argc, argv);
}
