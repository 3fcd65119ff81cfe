/* slipway.yaml: every key and default, overlays, the specs, and each way to be wrong: the texts of
 * the errors are what people see, so they are checked word for word. */
#include "core/config/config.h"
#include <time.h>
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"

#define MIB ((int64_t)1 << 20)

static json_t *parse_env(const char *text, const char *env)
{
    struct err err = ERR_INIT;
    json_t *config = NULL;
    if (config_parse(str_of(text), env, &config, &err) < 0)
        IS_STR(err.text, "");
    return config;
}

static json_t *parse(const char *text)
{
    return parse_env(text, NULL);
}

/* The error's text; its kind is checked too. */
static const char *refused(const char *text, enum err_kind kind)
{
    static struct err err;
    json_t *config = NULL;
    err = (struct err)ERR_INIT;
    if (config_parse(str_of(text), NULL, &config, &err) == 0) {
        json_decref(config);
        return "accepted";
    }
    IS_INT(err.kind, kind);
    return err.text;
}
#define IS_BAD(text, want) IS_STR(refused((text), E_CONFIG_INVALID), (want))
#define IS_OUT(text, want) IS_STR(refused((text), E_OUT_OF_RANGE), (want))

static void is_json(const json_t *value, const char *want)
{
    AUTO_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    IS_STR(text, want);
}
#define IS_JSON(value, want) is_json((value), (want))

TEST(the_shortest_file_has_all_defaults)
{
    AUTO_JSON *config = parse("run: node server.js\n");
    IS_JSON(
        config,
        "{\"service\":null,\"kind\":\"server\",\"base\":{\"kind\":\"packages\",\"packages\":[],"
        "\"build_packages\":[]},\"build\":{\"packages\":[],\"steps\":[],\"checks\":[],\"output\":"
        "[\".\"],\"exclude\":[],\"cache\":[],\"network\":true,\"env\":{},\"memory\":0,\"pids\":0,"
        "\"timeout_ms\":0},\"run\":[\"node\",\"server.js\"],\"env\":{\"clear\":{},\"secret\":[]},"
        "\"files\":{},\"proxy\":{\"app_port\":3000,\"healthcheck\":{\"path\":\"/up\","
        "\"interval_ms\":1000,\"timeout_ms\":5000},\"response_timeout_ms\":30000},\"instances\":2,"
        "\"deploy\":{\"resources\":{\"limits\":{\"memory\":268435456,\"cpus\":0,\"pids\":256}}},"
        "\"update_config\":{\"parallelism\":1,\"order\":\"start-first\",\"strategy\":\"rolling\"},"
        "\"deploy_timeout_ms\":30000,\"drain_timeout_ms\":30000,\"stop_timeout_ms\":10000,"
        "\"keep_warm_ms\":60000,\"retain\":5,\"network\":{\"outside\":true}}");
}

static const char full[] =
    "service: shop\nkind: server\nbase: [nodejs, libpq5]\n"
    "build:\n  packages: [npm, g++]\n"
    "  steps: [{name: install, run: npm ci}, [make, all], npm run build | tee log]\n"
    "  checks:\n    - {name: unit, run: npm test, report: out/report.xml}\n"
    "    - {run: [prove], report: r.tap, format: tap}\n    - npm run lint\n"
    "  output: [dist, ./public/]\n  exclude: [node_modules/.cache]\n  cache: [/root/.npm]\n"
    "  network: none\n  env: {CI: true, EMPTY: \"\"}\n  memory: 1g\n  pids: 512\n"
    "  timeout: 90500ms\n"
    "run: [node, --port, \"\", \"$PORT\"]\n"
    "env: {clear: {TZ: Asia/Shanghai, no: no, T: 1:20}, secret: [DB_PASSWORD, KEY]}\n"
    "files: {config.json: '{\"a\": 1}', conf.d/x: \"l1\\nl2\\n\"}\n"
    "proxy:\n  app_port: 8080\n"
    "  healthcheck: {path: /healthz?deep=1, interval: 2s, timeout: 300ms}\n"
    "  response_timeout: 1m\n"
    "instances: 4\ndeploy: {resources: {limits: {memory: 512m, cpus: \"0.5\", pids: 100}}}\n"
    "update_config: {parallelism: 2, order: start-first, strategy: rolling}\n"
    "deploy_timeout: 1m\ndrain_timeout: 2h\nstop_timeout: 5s\nkeep_warm: 0s\nretain: 3\n"
    "network: {outside: false}\nx-note: [anything, {goes: here}]\n";

TEST(every_key_is_read)
{
    AUTO_JSON *config = parse(full);
    const json_t *build = json_dict(config, "build"), *proxy = json_dict(config, "proxy");
    IS_STR(json_text(config, "service"), "shop");
    IS_JSON(json_object_get(config, "base"),
            "{\"kind\":\"packages\",\"packages\":[\"nodejs\",\"libpq5\"],\"build_packages\":"
            "[\"npm\",\"g++\"]}");
    IS_JSON(json_list(build, "output"), "[\"dist\",\"./public/\"]");
    OK(!json_bool(build, "network", true));
    IS_JSON(json_dict(build, "env"), "{\"CI\":\"true\",\"EMPTY\":\"\"}");
    IS_INT(json_int(build, "memory", 0), 1024 * MIB);
    IS_INT(json_int(build, "timeout_ms", 0), 90500);
    IS_JSON(json_list(config, "run"), "[\"node\",\"--port\",\"\",\"$PORT\"]");
    IS_JSON(json_dict(config, "env"),
            "{\"clear\":{\"TZ\":\"Asia/Shanghai\",\"no\":\"no\",\"T\":\"1:20\"},\"secret\":"
            "[\"DB_PASSWORD\",\"KEY\"]}");
    IS_JSON(json_dict(proxy, "healthcheck"),
            "{\"path\":\"/healthz?deep=1\",\"interval_ms\":2000,\"timeout_ms\":300}");
    IS_INT(json_int(json_dict(json_dict(json_dict(config, "deploy"), "resources"), "limits"),
                    "cpus", 0),
           500);
    IS_INT(json_int(config, "drain_timeout_ms", 0), 7200000);
    IS_INT(json_int(config, "keep_warm_ms", 1), 0);
    IS_INT(json_int(config, "retain", 0), 3);
    OK(!json_bool(json_dict(config, "network"), "outside", true));
}

TEST(steps_and_checks_have_three_forms)
{
    AUTO_JSON *config = parse(full);
    const json_t *build = json_dict(config, "build");
    IS_JSON(json_list(build, "steps"),
            "[{\"name\":\"install\",\"run\":[\"/bin/sh\",\"-ec\",\"npm ci\"]},"
            "{\"name\":\"make\",\"run\":[\"make\",\"all\"]},"
            "{\"name\":\"npm run build | tee log\",\"run\":[\"/bin/sh\",\"-ec\","
            "\"npm run build | tee log\"]}]");
    IS_JSON(json_list(build, "checks"),
            "[{\"name\":\"unit\",\"run\":[\"/bin/sh\",\"-ec\",\"npm test\"],\"report\":"
            "\"out/report.xml\",\"format\":\"junit\",\"allow_empty\":false},"
            "{\"name\":\"prove\",\"run\":[\"prove\"],\"report\":\"r.tap\",\"format\":\"tap\","
            "\"allow_empty\":false},"
            "{\"name\":\"npm run lint\",\"run\":[\"/bin/sh\",\"-ec\",\"npm run lint\"],"
            "\"report\":null,\"format\":\"exit\",\"allow_empty\":false}]");
}

TEST(steps_of_the_same_name_are_told_apart)
{
    AUTO_JSON *config = parse("run: a\nbuild:\n  steps:\n  - make\n  - |\n\n    make\n    make x\n"
                              "  - {name: make, run: b}\n");
    const json_t *steps = json_list(json_dict(config, "build"), "steps");
    IS_STR(json_text(json_array_get(steps, 0), "name"), "make");
    IS_STR(json_text(json_array_get(steps, 1), "name"), "make #2");
    IS_STR(json_text(json_array_get(steps, 2), "name"), "make #3");
}

TEST(all_at_once_has_two_spellings)
{
    AUTO_JSON *a = parse("run: a\nupdate_config: {parallelism: 0}\n");
    AUTO_JSON *b = parse("run: a\nupdate_config: {strategy: all-at-once}\n");
    OK(json_equal(a, b));
    IS_STR(json_text(json_dict(a, "update_config"), "strategy"), "all-at-once");
}

TEST(cpus_are_thousandths)
{
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {{"2", 2000}, {"0.5", 500}, {"\"1.25\"", 1250}, {"0.01", 10}, {"0", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_FREE char *text =
            mem_format("run: a\ndeploy: {resources: {limits: {cpus: %s}}}", rows[i].text);
        AUTO_JSON *config = parse(text);
        AUTO_JSON *spec = config_instance_spec(config);
        IS_INT(json_int(spec, "cpus", -1), rows[i].want);
    }
}

static const char overlaid[] =
    "run: node a.js\ninstances: 1\nenv: {clear: {A: base, B: base}, secret: [X]}\n"
    "proxy: {app_port: 4000, healthcheck: {path: /a}}\nbuild: {env: {V: base}}\n"
    "envs:\n"
    "  prod:\n    instances: 4\n    env: {clear: {B: prod}, secret: [X, Y]}\n"
    "    proxy: {healthcheck: {path: /b}}\n"
    "  test: {run: [node, b.js], build: {env: {V: test}}, x-why: test}\n";

TEST(an_overlay_merges_maps_and_replaces_the_rest)
{
    AUTO_JSON *config = parse_env(overlaid, "prod");
    IS_INT(json_int(config, "instances", 0), 4);
    IS_JSON(json_dict(config, "env"),
            "{\"clear\":{\"A\":\"base\",\"B\":\"prod\"},\"secret\":[\"X\",\"Y\"]}");
    IS_STR(json_text(json_dict(json_dict(config, "proxy"), "healthcheck"), "path"), "/b");
    IS_INT(json_int(json_dict(config, "proxy"), "app_port", 0), 4000);
    IS_JSON(json_list(config, "run"), "[\"node\",\"a.js\"]");
    OK(!json_object_get(config, "envs"));
}

TEST(an_env_without_overlay_gets_the_base)
{
    AUTO_JSON *base = parse(overlaid), *dev = parse_env(overlaid, "dev");
    AUTO_JSON *test = parse_env(overlaid, "test");
    OK(json_equal(base, dev));
    IS_INT(json_int(dev, "instances", 0), 1);
    IS_JSON(json_list(test, "run"), "[\"node\",\"b.js\"]");
    IS_STR(json_text(json_dict(json_dict(test, "build"), "env"), "V"), "test");
}

TEST(run_may_stand_in_overlays_only)
{
    AUTO_JSON *config = parse_env("envs: {prod: {run: a}}", "prod");
    IS_JSON(json_list(config, "run"), "[\"a\"]");
    IS_BAD("envs: {prod: {run: a}}",
           "slipway.yaml: 'run' is missing: the command that starts the app");
}

TEST(a_mistake_in_any_overlay_shows)
{
    IS_OUT("run: a\nenvs:\n  prod:\n    instances: 101\n",
           "slipway.yaml:4:16: 'instances' is out of range: '101' (1 to 100)");
    IS_BAD("run: a\nenvs:\n  prod:\n    proxy: {ap_port: 1}\n",
           "slipway.yaml:4:13: unknown key 'ap_port' (did you mean 'app_port'?)");
    IS_BAD("run: a\nenvs: {Prod: {}}", "slipway.yaml:2:8: 'Prod' is not the name of an env");
    IS_BAD("run: a\nenvs: {prod: 5}", "slipway.yaml:2:14: env 'prod' must be a map (key: value)");
    IS_BAD("run: a\nenvs: {prod: {service: x}}",
           "slipway.yaml:2:15: 'service' is the same in every env: it cannot stand here");
    IS_BAD("run: a\nenvs: [prod]", "slipway.yaml:2:7: 'envs' must be a map (key: value)");
}

TEST(the_build_spec_has_the_shape_of_wire_host)
{
    AUTO_JSON *config = parse(full);
    AUTO_JSON *spec = config_build_spec(config);
    AUTO_JSON *before = json_deep_copy(config);
    json_put_int(json_dict(spec, "env"), "CHANGED", 1);
    OK(json_equal(config, before));
    (void)json_object_del(spec, "checks");
    (void)json_object_del(spec, "steps");
    (void)json_object_del(json_dict(spec, "env"), "CHANGED");
    IS_JSON(spec,
            "{\"base\":{\"kind\":\"packages\",\"packages\":[\"nodejs\",\"libpq5\"],"
            "\"build_packages\":[\"npm\",\"g++\"]},\"workdir\":\"/app\",\"output\":[\"dist\","
            "\"./public/\"],\"exclude\":[\"node_modules/.cache\"],\"cache\":[\"/root/.npm\"],"
            "\"env\":{\"CI\":\"true\",\"EMPTY\":\"\"},\"network\":false,\"memory\":1073741824,"
            "\"pids\":512,\"seconds\":91,\"volume\":0,\"image\":{\"command\":[\"node\","
            "\"--port\",\"\",\"$PORT\"],\"env\":{},\"port\":8080,\"user\":\"1000:1000\"}}");
}

TEST(the_instance_spec_has_the_shape_of_wire_host)
{
    AUTO_JSON *config = parse(full);
    AUTO_JSON *spec = config_instance_spec(config);
    IS_JSON(spec,
            "{\"command\":[\"node\",\"--port\",\"\",\"$PORT\"],\"env\":{\"TZ\":\"Asia/Shanghai\","
            "\"no\":\"no\",\"T\":\"1:20\"},\"port\":8080,\"user\":\"1000:1000\",\"health\":{"
            "\"path\":\"/healthz?deep=1\",\"interval_ms\":10,\"timeout_ms\":300,\"deadline_ms\":"
            "60000,\"liveness_ms\":2000},\"memory\":536870912,\"cpus\":500,\"pids\":100,\"stop\":"
            "{\"signal\":\"TERM\",\"grace_ms\":5000},\"files\":[{\"path\":\"config.json\","
            "\"value_b64\":\"eyJhIjogMX0=\"},{\"path\":\"conf.d/x\",\"value_b64\":"
            "\"bDEKbDIK\"}],\"network\":{\"outside\":false}}");
}

TEST(base_host_is_a_word)
{
    AUTO_JSON *config = parse("base: host\nrun: a");
    IS_JSON(json_object_get(config, "base"), "{\"kind\":\"host\"}");
    IS_BAD("base: host\nrun: a\nbuild: {packages: [npm]}",
           "slipway.yaml: 'build.packages' needs a 'base' of packages: with base: host install "
           "them on the machine");
}

TEST(a_command_is_split_into_words)
{
    static const char *const rows[][2] = {
        {"run: node server.js", "[\"node\",\"server.js\"]"},
        {"run: '  a   b\t c  '", "[\"a\",\"b\",\"c\"]"},
        {"run: node 'a b' \"c d\"", "[\"node\",\"a b\",\"c d\"]"},
        {"run: a ''", "[\"a\",\"\"]"},
        {"run: a x'$HOME; *'y", "[\"a\",\"x$HOME; *y\"]"},
        {"run: 'a \"q\\\"\\\\ \\n\"'", "[\"a\",\"q\\\"\\\\ \\\\n\"]"},
        {"run: |\n  node server.js\n", "[\"node\",\"server.js\"]"},
        {"run: java -Da=b -jar x#1.jar", "[\"java\",\"-Da=b\",\"-jar\",\"x#1.jar\"]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_JSON *config = parse(rows[i][0]);
        IS_JSON(json_list(config, "run"), rows[i][1]);
    }
}

TEST(what_only_a_shell_understands_is_refused)
{
    static const char marks[] = "$`;|&<>*?()\\";
    for (const char *c = marks; *c; c++) {
        AUTO_FREE char *text = mem_format("run: |\n  node a%cb", *c);
        AUTO_FREE char *want = mem_format("slipway.yaml:1:6: the command holds '%c', which only a "
                                          "shell understands: write it as a list, or call a script",
                                          *c);
        IS_BAD(text, want);
    }
    IS_BAD("run: node \"$PORT\"", "slipway.yaml:1:6: the command holds '$', which only a shell "
                                  "understands: write it as a list, or call a script");
    IS_BAD("run: |\n  a\n  b\n", "slipway.yaml:1:6: the command holds a line break, which only a "
                                 "shell understands: write it as a list, or call a script");
    IS_BAD("run: node ~/x", "slipway.yaml:1:6: the command holds '~', which only a shell "
                            "understands: write it as a list, or call a script");
    IS_BAD("run: 'node \"x'",
           "slipway.yaml:1:6: the command has a quote (\") that is never closed");
    IS_BAD("run: A=b node", "slipway.yaml:1:6: the command begins with a variable: put 'A=b' "
                            "under env, clear");
    IS_BAD("run: ''", "slipway.yaml:1:6: the command is empty");
    IS_BAD("run:", "slipway.yaml:1:5: the command is empty");
    IS_BAD("run: []", "slipway.yaml:1:6: the command is empty");
    IS_BAD("run: [\"\", a]", "slipway.yaml:1:6: the command is empty");
    IS_BAD("run: [a, [b]]", "slipway.yaml:1:10: a command is a list of words");
    IS_BAD("run: {a: b}", "slipway.yaml:1:6: a command is a text or a list of words");
}

TEST(a_file_that_is_no_configuration_is_not_shown)
{
    IS_BAD("root:$6$abc:19000:0:99999:7:::", "slipway.yaml:1:1: unknown key '...'");
    IS_BAD("root:$6$abc:::\nroot:$6$abc:::", "slipway.yaml:2:1: key '...' is given twice");
    IS_BAD("'run: b': a", "slipway.yaml:1:1: unknown key '...'");
    IS_BAD("PASSWORD=x", "slipway.yaml:1:1: the file must be a map (key: value)");
}

TEST(unknown_keys_are_refused_with_a_guess)
{
    IS_BAD("run: a\n\n    \ninstancs: 2",
           "slipway.yaml:4:1: unknown key 'instancs' (did you mean 'instances'?)");
    IS_BAD("rnu: a", "slipway.yaml:1:1: unknown key 'rnu' (did you mean 'run'?)");
    IS_BAD("run: a\ndeploy_timout: 5s",
           "slipway.yaml:2:1: unknown key 'deploy_timout' (did you mean 'deploy_timeout'?)");
    IS_BAD("run: a\nproxy: {helthcheck: {}}",
           "slipway.yaml:2:9: unknown key 'helthcheck' (did you mean 'healthcheck'?)");
    IS_BAD("run: a\nreplicas: 2", "slipway.yaml:2:1: unknown key 'replicas'");
    IS_BAD("run: a\napp_port: 2",
           "slipway.yaml:2:1: key 'app_port' does not belong here but under 'proxy'");
    IS_BAD("run: a\nproxy: {instances: 2}", "slipway.yaml:2:9: key 'instances' does not belong "
                                            "here but at the top of the file");
    IS_BAD("run: a\nbuild: {steps: [{nam: a, run: b}]}",
           "slipway.yaml:2:18: unknown key 'nam' (did you mean 'name'?)");
}

TEST(numbers_out_of_range_are_refused)
{
    IS_OUT("run: a\ninstances: -1",
           "slipway.yaml:2:12: 'instances' is out of range: '-1' (1 to 100)");
    IS_OUT("run: a\ninstances: 2147483648",
           "slipway.yaml:2:12: 'instances' is out of range: '2147483648' (1 to 100)");
    IS_OUT("run: a\nproxy: {app_port: 0}",
           "slipway.yaml:2:19: 'app_port' is out of range: '0' (1 to 65535)");
    IS_OUT("run: a\nproxy: {app_port: 65536}",
           "slipway.yaml:2:19: 'app_port' is out of range: '65536' (1 to 65535)");
    IS_OUT("run: a\ndeploy_timeout: 0s",
           "slipway.yaml:2:17: 'deploy_timeout' is out of range: '0s' (1s to 3600s)");
    IS_OUT("run: a\nproxy: {healthcheck: {timeout: 0ms}}",
           "slipway.yaml:2:32: 'timeout' is out of range: '0ms' (100ms to 60s)");
    OK(strstr(refused("run: a\nstop_timeout: 1000000000000000000s", E_OUT_OF_RANGE),
              "slipway.yaml:2:15: 'stop_timeout'"));
    OK(strstr(refused("run: a\ninstances: 99999999999999999999", E_OUT_OF_RANGE),
              "slipway.yaml:2:12: 'instances'"));
    IS_OUT("run: a\ndeploy: {resources: {limits: {memory: 1m}}}",
           "slipway.yaml:2:39: 'memory' is out of range: '1m' (16m to 1024g)");
    IS_OUT("run: a\ndeploy: {resources: {limits: {pids: 1}}}",
           "slipway.yaml:2:37: 'pids' is out of range: '1' (8 to 100000)");
    IS_OUT("run: a\nretain: 0", "slipway.yaml:2:9: 'retain' is out of range: '0' (1 to 5)");
    IS_OUT("run: a\nbuild: {pids: 1}",
           "slipway.yaml:2:15: 'pids' is out of range: '1' (16 to 100000)");
    static const char *const cpus[] = {"0.001", "-1", "1e3", "NaN", "0.0001", "1.", ".5", "[]"};
    for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
        AUTO_FREE char *text =
            mem_format("run: a\ndeploy: {resources: {limits: {cpus: %s}}}", cpus[i]);
        IS_OUT(text, "slipway.yaml:2:37: 'cpus' must be a number of processors such as 0.5 (0.01 "
                     "to 1024, 0: no limit)");
    }
}

TEST(values_of_the_wrong_kind_are_refused)
{
    IS_BAD("run: a\ninstances: two", "slipway.yaml:2:12: 'instances' is not a number: 'two'");
    IS_BAD("run: a\ninstances:", "slipway.yaml:2:11: 'instances' must be one value, it is nothing");
    IS_BAD("run: a\ninstances: [2]",
           "slipway.yaml:2:12: 'instances' must be one value, it is a list");
    IS_BAD("run: a\nkeep_warm: 60", "slipway.yaml:2:12: 'keep_warm' is not understood: '60'");
    IS_BAD("run: a\nproxy: 80", "slipway.yaml:2:8: 'proxy' must be a map (key: value)");
    IS_BAD("run: a\nproxy:\n", "slipway.yaml:2:7: 'proxy' must be a map (key: value)");
    IS_BAD("run: a\nbuild: {cache: /x}",
           "slipway.yaml:2:16: 'cache' must be a list (- item, or [item, item])");
    IS_BAD("run: a\nnetwork: {outside: yes}", "slipway.yaml:2:20: 'outside' must be true or false");
    IS_BAD("run: a\nbuild: {network: on}", "slipway.yaml:2:18: 'network' must be true or none");
    IS_BAD("run: a\nkind: job",
           "slipway.yaml:2:7: kind 'job' is not supported yet, only 'server' is");
    IS_BAD("run: a\nkind: lambda", "slipway.yaml:2:7: 'kind' is one of server, not 'lambda'");
    IS_BAD("run: a\nupdate_config: {order: stop-first}",
           "slipway.yaml:2:24: 'order' is one of start-first, not 'stop-first'");
    IS_BAD("run: a\nservice: a;reboot",
           "slipway.yaml:2:10: 'service' must be a name (a-z, 0-9 and '-'): 'a;reboot' is not");
    IS_BAD("run: a\nbase: docker.io/node",
           "slipway.yaml:2:7: 'base' must be a list of Debian packages, or the word host");
    IS_BAD("run: a\nbase: [\"nodejs; id\"]",
           "slipway.yaml:2:8: 'base' must be a list of Debian packages: 'nodejs; id' is not the "
           "name of one");
    IS_BAD("run: a\nbase: [-o=x]", "slipway.yaml:2:8: 'base' must be a list of Debian packages: "
                                   "'-o=x' is not the name of one");
    IS_BAD("run: a\nbuild: {packages: [--x]}",
           "slipway.yaml:2:20: 'packages' must be a Debian package: '--x' is not");
    IS_BAD("run: a\nproxy: {healthcheck: {path: up}}",
           "slipway.yaml:2:29: 'path' must be a path that begins with '/': 'up' is not");
    IS_BAD("run: a\nproxy: {healthcheck: {path: \"/u HTTP/1.1\\r\\nX: y\"}}",
           "slipway.yaml:2:29: 'path' must be a path that begins with '/': '/u HTTP/1.1??X: y' "
           "is not");
}

TEST(bad_checks_and_steps_are_refused)
{
    IS_BAD("run: a\nbuild: {steps: [{name: x}]}", "slipway.yaml:2:17: 'run' is missing here");
    IS_BAD("run: a\nbuild: {steps: ['']}", "slipway.yaml:2:17: the command is empty");
    IS_BAD("run: a\nbuild: {steps: [{run: {a: b}}]}",
           "slipway.yaml:2:23: a command is a text or a list of words");
    IS_BAD("run: a\nbuild: {checks: [{run: a, report: ../x}]}",
           "slipway.yaml:2:35: 'report' must be a relative path that stays in the folder: '../x' "
           "is not");
    IS_BAD("run: a\nbuild: {checks: [{run: a, format: junit}]}",
           "slipway.yaml:2:18: a check with the format junit needs 'report', the path of its "
           "report");
    IS_BAD("run: a\nbuild: {checks: [{run: a, format: exit, report: x}]}",
           "slipway.yaml:2:18: a check with a report has the format junit or tap");
    IS_BAD("run: a\nbuild: {steps: [{name: \"a\\nb\", run: b}]}",
           "slipway.yaml:2:24: 'name' must be a short text of one line: 'a?b' is not");
}

TEST(paths_stay_where_they_belong)
{
    static const char *const bad[] = {"../x", "/etc", "a/../b", "a//b", "''", "a/./b", "\"a\\nb\""};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *output = mem_format("run: a\nbuild: {output: [%s]}", bad[i]);
        AUTO_FREE char *files = mem_format("run: a\nfiles: {%s: x}", bad[i]);
        OK(text_starts(refused(output, E_CONFIG_INVALID), "slipway.yaml:2:18: "));
        OK(text_starts(refused(files, E_CONFIG_INVALID), "slipway.yaml:2:9: "));
    }
    IS_BAD("run: a\nfiles: {a: x, a/b: y}",
           "slipway.yaml: 'a' under 'files' is a file and a folder");
}

TEST(caches_are_as_host_takes_them)
{
    static const char *const bad[] = {"root",    "/",      "/usr/share/x", "/etc",
                                      "/tmp",    "/run/x", "'/a,b'",       "'/a:b'",
                                      "/a/../b", "/a//b",  "'/a\\b'"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *text = mem_format("run: a\nbuild: {cache: [%s]}", bad[i]);
        OK(text_starts(refused(text, E_CONFIG_INVALID),
                       "slipway.yaml:2:17: 'cache' must be an absolute path of at most 200 bytes"));
    }
    AUTO_FREE char *wide = mem_format("run: a\nbuild: {cache: [/%0200d]}", 0);
    OK(text_starts(refused(wide, E_CONFIG_INVALID), "slipway.yaml:2:17: "));
    AUTO_JSON *good = parse("run: a\nbuild: {cache: [/root/.m2, /usrlocal, /app/node_modules]}");
    IS_INT((int64_t)json_array_size(json_list(json_dict(good, "build"), "cache")), 3);
}

/* The error's text for an installation with the usual envs, and the app shop. */
static const char *refused_here(const char *text, const char *env)
{
    static struct err err;
    AUTO_JSON *envs = json_pack("[{s:s},{s:s},{s:s},{s:s}]", "name", "dev", "name", "test", "name",
                                "pre", "name", "prod");
    struct config_target target = {"shop", env, envs};
    json_t *config = NULL;
    err = (struct err)ERR_INIT;
    if (config_parse_for(str_of(text), &target, &config, &err) == 0) {
        json_decref(config);
        return "accepted";
    }
    IS_INT(err.kind, E_CONFIG_INVALID);
    return err.text;
}

TEST(what_the_installation_does_not_have_is_refused)
{
    IS_STR(refused_here("run: a\nservice: shop\nenvs: {prod: {}, x-later: {}}", "dev"), "accepted");
    IS_STR(refused_here("run: a\nenvs:\n  prodd: {instances: 4}", NULL),
           "slipway.yaml:3:3: unknown env 'prodd' (did you mean 'prod'?)");
    IS_STR(refused_here("run: a\nenvs:\n  staging: {}", NULL),
           "slipway.yaml:3:3: unknown env 'staging': there are dev, test, pre, prod");
    IS_STR(refused_here("run: a", "prodd"), "unknown env 'prodd' (did you mean 'prod'?)");
    IS_STR(refused_here("run: a\nservice: blog", "dev"),
           "slipway.yaml:2:10: 'service' is 'blog', but this is the app 'shop': give its name, or "
           "leave the key out");
}

TEST(variables_and_secrets)
{
    static const char *const bad[] = {"A=B", "\"A\\nB\"", "1A", "A-B", "PORT", "SLIPWAY_ENV"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *text = mem_format("run: a\nenv: {clear: {%s: x}}", bad[i]);
        OK(text_starts(refused(text, E_CONFIG_INVALID), "slipway.yaml:2:15: '"));
        OK(strstr(refused(text, E_CONFIG_INVALID), "' under 'clear' is not a variable (letters"));
    }
    IS_BAD("run: a\nenv: {clear: {A: \"x\\0y\"}}",
           "slipway.yaml:2:18: the value holds a NUL character");
    IS_BAD("run: a\nenv: {clear: {A: [x]}}", "slipway.yaml:2:18: 'A' must be a text");
    IS_BAD("run: a\nenv: {secret: [a b]}",
           "slipway.yaml:2:16: 'secret' must be a variable (letters, digits, '_'; PORT and "
           "SLIPWAY_* are given): 'a b' is not");
    OK(strstr(refused("run: a\nenv: {secret: [tls.key]}", E_CONFIG_INVALID), "'tls.key' is not"));
    OK(strstr(refused("run: a\nenv: {secret: [PORT]}", E_CONFIG_INVALID), "'PORT' is not"));
    IS_BAD("run: a\nenv: {clear: {A: x}, secret: [A]}",
           "slipway.yaml: 'A' is given under env.clear and under env.secret");
    AUTO_JSON *config = parse("run: a\nenv: {clear: {LD_PRELOAD: /x, Q: \"a\\nb'$(id)\\u4e2d\"}}");
    IS_STR(json_text(json_dict(json_dict(config, "env"), "clear"), "Q"), "a\nb'$(id)\u4e2d");
}

TEST(domains_are_not_the_files)
{
    IS_BAD("run: a\nproxy: {host: shop.example.com}",
           "slipway.yaml:2:9: 'host' cannot stand here: domains belong to the app-env: 'slipway "
           "env domains DOMAIN -a APP -e ENV' sets them");
    IS_BAD("run: a\nenvs:\n  prod:\n    proxy:\n      hosts: [shop.example.com]",
           "slipway.yaml:5:7: 'hosts' cannot stand here: domains belong to the app-env: 'slipway "
           "env domains DOMAIN -a APP -e ENV' sets them");
    IS_BAD("run: a\nproxy: {hots: [a.com]}", "slipway.yaml:2:9: unknown key 'hots'");
}

TEST(what_is_dangerous_in_yaml_is_refused)
{
    IS_BAD("a: &x [1]\nb: *x", "slipway.yaml:1:4: anchors (&name) are refused");
    IS_BAD("run: *x", "slipway.yaml:1:6: aliases (*name) are refused: write the value out");
    IS_BAD("run: !!python/object:os.system [x]", "slipway.yaml:1:6: tags (!name) are refused");
    IS_BAD("run: !x a", "slipway.yaml:1:6: tags (!name) are refused");
    IS_BAD("<<: {run: a}", "slipway.yaml:1:1: merge keys ('<<') are refused: write the keys out");
    IS_BAD("run: a\nrun: b", "slipway.yaml:2:1: key 'run' is given twice");
    IS_BAD("run: a\nenv: {clear: {A: 1, A: 2}}", "slipway.yaml:2:21: key 'A' is given twice");
    IS_BAD("run: a\n---\nrun: b",
           "slipway.yaml:2:1: the file holds more than one document ('---')");
    IS_BAD("? [a]\n: b", "slipway.yaml:1:3: a key must be a word, not a list or a map");
    IS_BAD("- run", "slipway.yaml:1:1: the file must be a map (key: value)");
    IS_BAD("", "slipway.yaml: the file is empty");
    IS_BAD("# nothing\n", "slipway.yaml: the file is empty");
    IS_BAD("run: a\nproxy:\n\tapp_port: 1",
           "slipway.yaml:3:1: found character that cannot start any token (indent with spaces, "
           "not with tabs)");
    IS_BAD("run: a\nenv: b\xff", "slipway.yaml: not UTF-8 text");
    IS_BAD("run: a\nenv: b\x01", "slipway.yaml:2:7: control characters are not allowed");
    IS_BAD("run: [a", "slipway.yaml:2:1: did not find expected ',' or ']'");
}

static int64_t cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Also without a cost that grows faster than the file: half a second of this processor is ten times
 * what the slowest one takes, whoever else uses it ($TAP_SLOW: valgrind does). ./bench limits has
 * the times.
 */
static const char *refused_str(struct str text)
{
    static struct err err;
    json_t *config = NULL;
    err = (struct err)ERR_INIT;
    int64_t start = cpu_us();
    int result = config_parse(text, "prod", &config, &err);
    OK(cpu_us() - start < (getenv("TAP_SLOW") ? 5000000 : 500000));
    json_decref(config);
    return result < 0 ? err.text : "accepted";
}

static const char *refused_repeat(const char *head, const char *item, size_t total)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, head);
    while (text.length + strlen(item) <= total)
        (void)buf_add_text(&text, item);
    return refused_str(buf_str(&text));
}

TEST(the_largest_files_cost_little)
{
    IS_STR(refused_repeat("run: a\n", "#", (size_t)100 << 20), "slipway.yaml: larger than 256 KiB");
    IS_STR(refused_repeat("run: ", "[", CONFIG_MAX),
           "slipway.yaml:1:21: lists and maps are nested deeper than 16");
    IS_STR(refused_repeat("run: ", "{a: ", CONFIG_MAX),
           "slipway.yaml:1:66: lists and maps are nested deeper than 16");
    IS_STR(refused_repeat("run: a\nx-a: [", "1,", CONFIG_MAX),
           "slipway.yaml:2:9997: the file holds more than 5000 values");
    OK(text_starts(refused_repeat("run: a\n", "- ", CONFIG_MAX), "slipway.yaml:2:1: "));
    OK(text_starts(refused_repeat("run: a\n", "? ", CONFIG_MAX), "slipway.yaml:2:"));
    IS_STR(refused_repeat("run: a\n", "# comment\n", CONFIG_MAX - 20), "accepted");
    OK(text_starts(refused_repeat("run: \"", "\\L", CONFIG_MAX), "slipway.yaml:1:"));
    OK(text_starts(refused_repeat("run: a", " : ", CONFIG_MAX), "slipway.yaml:1:"));
}

TEST(many_overlays_cost_little)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, "run: a\nx-y: {");
    for (int i = 0; i < 499; i++)
        (void)buf_add_format(&text, "k%03d: 1, ", i);
    (void)buf_add_text(&text, "}\nenv: {clear: {");
    for (int i = 0; i < 499; i++)
        (void)buf_add_format(&text, "K%03d: 1, ", i);
    (void)buf_add_text(&text, "}}\nenvs:\n");
    for (int e = 0; e < 50; e++)
        (void)buf_add_format(&text, "  e%d: {env: {clear: {A: 1}}, x-y: {k1: 2}}\n", e);
    IS_STR(refused_str(buf_str(&text)), "accepted");
    buf_clear(&text);
    (void)buf_add_text(&text, "run: a\nx-y: {");
    for (int i = 0; i < 501; i++)
        (void)buf_add_format(&text, "k%03d: 1, ", i);
    OK(strstr(refused_str(buf_str(&text)), "a map holds more than 500 keys"));
}

TEST(long_lists_and_values_are_refused)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, "run: a\nbuild: {cache: [");
    for (int i = 0; i < 9; i++)
        (void)buf_add_format(&text, "/c%d, ", i);
    (void)buf_add_text(&text, "]}");
    IS_BAD(text.data, "slipway.yaml:2:57: 'cache' holds more than 8 items");
    buf_clear(&text);
    (void)buf_add_text(&text, "run: a\nenv: {clear: {BIG: ");
    for (int i = 0; i < 130 * 1024; i++)
        (void)buf_add_char(&text, 'x');
    (void)buf_add_text(&text, "}}");
    IS_STR(refused(text.data, E_TOO_LARGE), "slipway.yaml:2:20: 'BIG' is larger than 128 KiB");
}

TAP_MAIN()
