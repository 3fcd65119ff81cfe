/* Base images for real: needs root, mmdebstrap and Debian's archive (some minutes), npm's registry.
 * A base with nodejs, npm on top, and a build that installs a real dependency from its lock file.
 */
#include "host/build/build_fixture.h"

#define NUMBER 6
#define BASE                                                                                       \
    "\"base\":{\"kind\":\"packages\",\"packages\":[\"nodejs\"],\"build_packages\":[\"npm\"]}"

static void ensure(struct answer *a)
{
    struct err err = ERR_INIT;
    json_t *args = NULL;
    IS_INT(json_parse(STR("{" BASE "}"), &args, &err), 0);
    ask(a, "base.ensure", args, -1);
}

static void tell(const char *what, const struct answer *a)
{
    (void)printf("# %s: %lld ms, %lld bytes, %lld events, %s\n", what, (long long)a->ms,
                 (long long)json_int(a->ok, "bytes", 0), (long long)a->progress, a->err.text);
}

TEST(a_base_is_made_once)
{
    struct answer a, b, c;
    if (!ready(NUMBER))
        return;
    ensure(&a);
    ensure(&b); /* waits for the first */
    wait_for(&a);
    wait_for(&b);
    tell("base and build base", &a);
    OK(!json_bool(a.ok, "reused", true));
    OK(a.progress > 5);
    IS_STR(json_text_or(a.ok, "build_base", "a"), json_text_or(b.ok, "build_base", "b"));
    ensure(&c);
    wait_for(&c);
    tell("again", &c);
    OK(json_bool(c.ok, "reused", false));
    answer_done(&a);
    answer_done(&b);
    answer_done(&c);
}

static const char *const npm_files[] = {
    "package.json",
    "{\"name\":\"t\",\"version\":\"1.0.0\",\"dependencies\":{\"ms\":\"2.1.3\"}}",
    "package-lock.json",
    "{\"name\":\"t\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"requires\":true,\"packages\":{"
    "\"\":{"
    "\"name\":\"t\",\"version\":\"1.0.0\",\"dependencies\":{\"ms\":\"2.1.3\"}},\"node_modules/"
    "ms\":{"
    "\"version\":\"2.1.3\",\"integrity\":\"sha512-6FlzubTLZG3J2a/"
    "NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/"
    "s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==\"}}}",
    "server.js",
    "console.log(require('ms')('2 days'))\n",
    NULL};

TEST(npm_ci_through_the_sandbox)
{
    static const char spec[] =
        "{" BASE ",\"cache\":[\"/root/.npm\"],\"steps\":["
        "{\"name\":\"install\",\"run\":[\"npm\",\"ci\",\"--no-audit\",\"--no-fund\"]},"
        "{\"name\":\"who\",\"run\":[\"getent\",\"passwd\",\"1000\"]},"
        "{\"name\":\"group\",\"run\":[\"getent\",\"group\",\"app\"]},"
        "{\"name\":\"run\",\"run\":[\"node\",\"server.js\"]}],\"output\":[\".\"],"
        "\"image\":{\"command\":[\"node\",\"server.js\"]}}";
    struct answer a, prepare;
    if (!ready(NUMBER))
        return;
    build_wait(&a, "shop.test.b1", npm_files, spec);
    OK(a.output.data && strstr(a.output.data, "172800000"));
    OK(a.output.data && strstr(a.output.data, "app:x:1000:1000:app:/app:/bin/sh"));
    OK(a.output.data && strstr(a.output.data, "app:x:1000:\n"));
    answer_done(&a);
    build_wait(&a, "shop.test.b2", npm_files, spec);
    json_t *args = json_object();
    json_put_text(args, "artifact", json_text_or(a.ok, "artifact", ""));
    ask(&prepare, "release.prepare", args, -1);
    wait_for(&prepare);
    tell("prepare", &prepare);
    struct artifact_root root = {0};
    struct err err = ERR_INIT;
    IS_INT(artifact_root(json_text_or(a.ok, "artifact", ""), &root, &err), 0);
    OK(root.lower[1] != NULL && root.lower[2] == NULL && root.bind_count == 0);
    artifact_root_done(&root);
    answer_done(&a);
    answer_done(&prepare);
}

int main(int argc, char **argv)
{
    return build_fixture_main(argc, argv);
}
