/* Build steps in real containers: needs root, crun and nft; its own installation id and subnet.
 * The base is the machine's own /usr. */
#include <fcntl.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/time.h"
#include "host/network/network.h"
#include "host/root_test.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"

#define RANGE 3000065536u

static struct settings *settings;
static struct buf output;
static struct sandbox_run_result last;
static bool over;
static char *base;   /* the skeleton of the base "host" */
static char *folder; /* of the bundle */

static void add(void *context, int stream, struct str data)
{
    (void)context;
    (void)stream;
    (void)buf_add_str(&output, data);
}

static void ended(void *context, const struct sandbox_run_result *result)
{
    (void)context;
    last = *result;
    over = true;
}

static bool until_over(void)
{
    int64_t limit = clock_mono_ms(clock_system()) + 20000;
    while (!over && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    return over;
}

static bool make_base(void)
{
    static const char *const links[] = {"bin", "lib", "lib64", "sbin"};
    struct err err = ERR_INIT;
    AUTO_FREE char *usr = mem_format("%s/usr", base);
    if (file_make_dirs(usr, 0755, &err) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", base, links[i]);
        AUTO_FREE char *target = mem_format("usr/%s", links[i]);
        if (symlink(target, path) < 0)
            return false;
    }
    return true;
}

static bool ready(void)
{
    static bool tried;
    struct err err = ERR_INIT;
    if (tried || geteuid() != 0)
        return settings != NULL;
    tried = true;
    log_setup("test", LOG_WARN);
    AUTO_FREE char *place = mem_format("%s/swt-sandbox-%d",
                                       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    if (file_make_dirs(place, 0755, &err) < 0)
        return false;
    settings = root_test_settings(place, 0);
    if (!settings)
        return false;
    base = mem_format("%s/base", place);
    folder = mem_format("%s/bundle", place);
    (void)loop_get();
    if (!make_base() || file_make_dirs(folder, 0700, &err) < 0 ||
        sandbox_setup(settings, &err) < 0) {
        (void)fprintf(stderr, "# %s\n", err.text);
        settings = NULL;
    }
    OK(settings != NULL);
    return settings != NULL;
}

/* Run a shell line; true when it ran to its end. */
static bool run(const char *line, struct sandbox_spec *spec, int64_t timeout_ms)
{
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    static const char *const env[] = {"PATH=/usr/bin:/bin:/usr/sbin", NULL};
    const char *lower[] = {base, NULL};
    struct err err = ERR_INIT;
    spec->name = "swt.step";
    spec->cgroup = "test.env/b1";
    spec->folder = folder;
    spec->lower = lower;
    spec->range = RANGE;
    spec->argv = argv;
    spec->env = env;
    spec->cwd = "/";
    spec->binds[spec->bind_count++] = (struct sandbox_bind){"/usr", "/usr", false};
    spec->binds[spec->bind_count++] =
        (struct sandbox_bind){network_resolv_path(), "/etc/resolv.conf", false};
    buf_clear(&output);
    over = false;
    if (sandbox_run(spec, timeout_ms, add, ended, NULL, NULL, &err) < 0) {
        (void)fprintf(stderr, "# %s\n", err.text);
        return false;
    }
    bool good = until_over();
    sandbox_unmount(folder);
    return good;
}

static bool printed(const char *text)
{
    bool found = output.data && strstr(output.data, text);
    if (!found)
        (void)fprintf(stderr, "# output: %s\n", output.data ? output.data : "");
    return found;
}

TEST(runs_a_step_and_tells_its_exit_code)
{
    struct sandbox_spec spec = {0};
    if (!ready())
        return;
    int64_t start = clock_mono_us();
    OK(run("echo out; echo err >&2; id -u; read x || echo eof; exit 3", &spec, 0));
    (void)fprintf(stderr, "# one step took %d us\n", (int)(clock_mono_us() - start));
    IS_INT(last.exit_code, 3);
    OK(printed("out\nerr\n0\neof\n"));
}

TEST(sees_nothing_of_the_machine)
{
    struct sandbox_spec spec = {0};
    if (!ready())
        return;
    OK(run("ls /; cat /proc/self/uid_map; touch /x || echo read-only; ls /proc | grep -c '^[0-9]';"
           "mount -t tmpfs x /tmp || echo no-mount; unshare -U true || echo no-userns;"
           "ls /sys/fs/cgroup; dd if=/dev/zero of=/dev/null count=1 && echo dev; hostname;"
           "grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/net/dev",
           &spec, 0));
    OK(printed("3000065536"));
    OK(printed("read-only"));
    OK(printed("no-mount"));
    OK(printed("no-userns"));
    OK(printed("CapBnd:\t0000000000000000"));
    OK(printed("NoNewPrivs:\t1"));
    OK(printed("Seccomp:\t2"));
    OK(printed("lo:"));
    OK(!strstr(output.data, "eth0"));
}

TEST(leaves_the_devices_of_the_machine_alone)
{
    struct sandbox_spec spec = {.uid = 1000, .gid = 1000};
    struct stat info;
    if (!ready())
        return;
    OK(run("true", &spec, 0));
    OK(stat("/dev/null", &info) == 0 && info.st_uid == 0);
}

TEST(a_build_writes_to_its_upper_as_root_of_its_range)
{
    struct sandbox_spec spec = {.caps = SANDBOX_CAPS_BUILD};
    struct stat info;
    if (!ready())
        return;
    AUTO_FREE char *upper = mem_format("%s/../upper", folder);
    AUTO_FREE char *made = mem_format("%s/upper/opt/file", upper);
    spec.upper = upper;
    (void)mkdir(upper, 0755);
    OK(run("mkdir -p /opt && echo x >/opt/file && chown 5:7 /opt/file && rm /bin; ls -l /opt",
           &spec, 0));
    IS_INT(last.exit_code, 0);
    OK(stat(made, &info) == 0);
    IS_INT(info.st_uid, RANGE + 5);
    IS_INT(info.st_gid, RANGE + 7);
}

TEST(limits_bite_and_are_told_apart)
{
    struct sandbox_spec memory = {.memory = 32 << 20, .tmp_size = "200m"};
    struct sandbox_spec pids = {.pids = 8};
    if (!ready())
        return;
    OK(run("dd if=/dev/zero of=/tmp/big bs=1M count=100", &memory, 0));
    OK(last.oom);
    OK(!last.pids_hit);
    OK(run("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.2 & done; wait", &pids, 0));
    OK(last.pids_hit);
    OK(!last.oom);
}

TEST(a_deadline_ends_the_whole_group)
{
    struct sandbox_spec spec = {0};
    if (!ready())
        return;
    int64_t start = clock_mono_ms(clock_system());
    OK(run("sleep 100 & sleep 100", &spec, 200));
    OK(last.timed_out);
    IS_INT(last.exit_code, 137);
    OK(clock_mono_ms(clock_system()) - start < 3000);
}

TEST(a_kill_while_it_is_created_counts)
{
    struct sandbox_spec spec = {0};
    if (!ready())
        return;
    OK(run("sleep 100", &spec, 1));
    OK(last.timed_out);
    IS_INT(last.exit_code, 137);
}

TEST(the_network_reaches_the_resolver_only_by_rule)
{
    struct sandbox_spec spec = {.network = true};
    if (!ready())
        return;
    OK(run("cat /etc/resolv.conf; ip -4 addr show eth0 || cat /proc/net/dev /proc/net/route;"
           "getent hosts deb.debian\".\"org && echo resolved;"
           "python3 - <<'E'\n"
           "import socket\n"
           "for target in (('10.199.0.1', 22), ('169.254.169.254', 80), ('192.0.2.2', 7000)):\n"
           "    s = socket.socket(); s.settimeout(0.3)\n"
           "    try: s.connect(target); print('open', target)\n"
           "    except Exception as e: print('shut', target[0], e)\n"
           "E\n",
           &spec, 0));
    OK(printed("nameserver"));
    OK(printed("shut 10.199.0.1"));
    OK(printed("shut 169.254.169.254"));
    OK(!strstr(output.data, "open "));
    OK(printed("eth0"));
}

TEST(a_controller_that_is_not_there_is_named)
{
    IS_STR(cgroup_absent(STR("cpuset cpu io memory pids\n")), NULL);
    IS_STR(cgroup_absent(STR("cpuset io memory pids\n")), "cpu");
    IS_STR(cgroup_absent(STR("cpu memory\n")), "pids");
    IS_STR(cgroup_absent(STR("")), "cpu");
}

TEST(doctor_is_content)
{
    if (!ready())
        return;
    AUTO_JSON *checks = json_array();
    size_t index;
    json_t *check;
    sandbox_doctor(checks);
    json_array_foreach(checks, index, check)
    {
        (void)fprintf(stderr, "# %s: %s\n", json_text(check, "name"), json_text(check, "text"));
        OK(json_bool(check, "ok", false) || text_is(json_text(check, "name"), "foreign firewall"));
    }
}

TEST(leaves_nothing_behind)
{
    struct err err = ERR_INIT;
    if (!ready())
        return;
    AUTO_JSON *groups = sandbox_cgroup_list();
    IS_INT(json_array_size(groups), 0);
    sandbox_teardown(settings);
    OK(!file_exists("/sys/class/net/swt00"));
    AUTO_FREE char *place = mem_strndup(folder, strlen(folder) - strlen("/bundle"));
    OK(file_remove_tree(place, &err) == 0);
}

TAP_MAIN()
