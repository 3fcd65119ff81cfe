/* slipway.yaml: one file in the app's repository, overlays per env inside it. Read by libyaml's
 * events; aliases, anchors, tags, merge keys and duplicate keys are refused, unknown keys are
 * errors with line and column (keys that begin with "x-" are allowed), limits: 256 KiB, depth 16,
 * 5,000 values, 500 keys a map, 50 envs. Scalars keep their text ("no" and 1:20 stay strings; a
 * field that wants a number parses it). Any thread. */
/* clang-format off
 *
 *   service: shop                 # must equal the app's name when given
 *   kind: server                  # server (default); static and job come later, refused by name
 *   base: [nodejs]                # Debian packages (default: none but the minimal system); or  host
 *   build:
 *     packages: [npm]             # only while building
 *     steps: [ {name: install, run: npm ci}, ["make", "all"], "npm run build" ]
 *     checks: [ {name: unit, run: npm test, report: report.xml, format: junit | tap | exit} ]
 *                             # tap without a report is read from the check's output; a report of
 *                             # no tests fails, unless allow_empty: true
 *     output: ["."]   exclude: [...]   cache: [/root/.npm]   network: true | none   env: {K: V}
 *     memory: 1g   pids: 512   timeout: 10m      # default: as the installation says
 *   run: node server.js           # string: split like a shell would split plain words and quotes,
 *                                 # no expansion; or a list. The one key that must stand there
 *   env: {clear: {K: V}, secret: [NAME, ...]}    # secret: the app-env's, given as variables
 *   files: {config.json: "text"}                 # below /run/slipway/config
 *   proxy: {app_port: 3000, response_timeout: 30s,       # no domains: they are the app-env's
 *           healthcheck: {path: /up, interval: 1s, timeout: 5s}}
 *   instances: 2                                 # 1..100
 *   deploy: {resources: {limits: {memory: 256m, cpus: "0.5", pids: 256}}}      # compose's words
 *   update_config: {parallelism: 1, order: start-first, strategy: rolling | all-at-once}
 *                                                # parallelism 0: all at once
 *   deploy_timeout: 30s   drain_timeout: 30s   stop_timeout: 10s   keep_warm: 60s
 *   retain: 5                                    # 1..5 releases to roll back to
 *   network: {outside: true}
 *   envs: {prod: {instances: 4, proxy: {...}, ...}}   # any key above but service, kind, envs;
 *                                                     # maps merge, the rest replaces
 * clang-format on */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/str.h"

#define CONFIG_FILE "slipway.yaml"
#define CONFIG_MAX ((size_t)256 * 1024)
/* Parse and check the file for one env (NULL: without overlay; every overlay is checked all the
 * same). *ret_config is the effective, normalised configuration: every key present with its
 * default, durations in ms ("deploy_timeout_ms"), sizes in bytes, commands as argv arrays, steps as
 * {"name","run":[...]} (a string becomes ["/bin/sh","-ec",TEXT]: it runs inside the build's sandbox
 * only). E_CONFIG_INVALID "slipway.yaml:12:5: unknown key 'instancs' (did you mean 'instances'?)";
 * by kind also E_OUT_OF_RANGE (numbers), E_TOO_LARGE (a variable or file over 128 KiB). */
int config_parse(struct str text, const char *env, json_t **ret_config, struct err *err) MUST_CHECK;
/* The same for an installation: what names other things than it has is refused as well. */
struct config_target {
    const char *app;    /* `service` must be this; NULL: any app */
    const char *env;    /* as above */
    const json_t *envs; /* all that exist: [{"name"}]; NULL: any */
};
int config_parse_for(struct str text, const struct config_target *target, json_t **ret_config,
                     struct err *err) MUST_CHECK;
/* The spec objects of wire/host.h made from it: build.run's (without secrets, provenance) and
 * instance.start's (without secrets). Deep copies: the caller may add to them. The image's own env
 * stays empty: one artifact goes through every env, and each gives its instances its variables. */
json_t *config_build_spec(const json_t *config);
json_t *config_instance_spec(const json_t *config);
