/* core -> host: what root may be asked to do. Everything is idempotent and named by ids: asking
 * again for what exists gives the same answer, asking to end what is gone succeeds.
 *
 * Names: an app-env is "APP.ENV" with its number (app_env_id, never used again) and the number of
 * its range of user ids (id_range, which a later app-env gets when this one is forgotten; without
 * it, that of app_env_id); an
 * instance "APP.ENV.r42.1" (release number, ordinal; a later start of the same ordinal by another
 * rollout is "APP.ENV.r42.1-ROLLOUT"); a build "APP.ENV.b17".
 *
 * hello must be the first verb of a channel: it carries core's epoch. A smaller epoch than the
 * largest seen is refused with E_EPOCH_STALE and the channel closed; a larger one closes older
 * channels. Reply: {"installation", "protocol", "boot": random id of this host process,
 * "processors": how many it may use; -1: unknown}. */
#pragma once
#include "wire/verb.h"

WIRE_TABLE host_hello[] = {WIRE_INT("protocol", 1, 1000), WIRE_INT("epoch", 1, WIRE_ANY)};

/* base.ensure: make (or find) the base image of a package list, and the build base on top.
 *   base: {"kind": "packages", "packages": ["nodejs"], "build_packages": ["npm"]}  or  {"kind":
 * "host"} events: "progress" {"text", "percent"}; reply {"base": digest, "build_base": digest,
 * "bytes", "reused": bool}
 * ("host" gives base = build_base = "host"). */
WIRE_TABLE host_base_ensure[] = {WIRE_OBJECT("base")};

/* build.run: one isolated build. With an empty spec the verb only attaches to a build that waits or
 * runs, or reads the result of one that ended (E_NOT_FOUND when the host knows nothing of it). Who
 * attaches is told what he missed: "steps" {"steps": [STEP], "again": true}, the checks ("again":
 * true), and whether the source is waited for. Events, all
 * with "at" (wall ms): "source" {"attempt"} now the tree is wanted: answer with build.source
 * "step" STEP, when it begins and when it ends; "check" CHECK; STEP: {"step": name, "kind":
 * "step"|"check" (of the spec) or "phase" (base: its base image is made or found; source: the tree
 * is taken; pack: the layer is made and kept), "state": "running"|"done"|"failed", "at", "ms"}
 * "output" {"step", "stream": 1|2, "text": valid UTF-8,
 * "offset": byte offset in the build's whole output} reply: {"artifact": digest, "layer": digest,
 * "base": digest, "bytes", "files", "checks": [CHECK], "steps": [STEP], "ms"} CHECK: {"name",
 * "passed", "failed", "skipped", "ms", "ok": bool, "empty": true (a report of no tests), "cases":
 * [{"name","outcome","text"}] (failed first, at most 200)} failures: build_failed (text names step
 * and exit code), check_failed, resource_*, timeout, cancelled, path_escapes, archive_*. The whole
 * output stays in the host's file: build.output. spec: { "base": as above, "workdir": "/app",
 *     "steps":  [{"name", "run": ["argv"...]}],         run in order in /app (the tree), as root of
 * a user namespace "checks": [{"name", "run": [...], "report": "path" or null, "format":
 * "junit"|"tap"|"exit", "allow_empty": bool}] (tap without a report: its stdout), "output": ["."]
 * paths below /app that become the app layer; "exclude":
 * ["node_modules/.cache"], "network": bool, "env": {"K": "V"}, "cache": ["/root/.npm"], "secrets":
 * [{"name", "value_b64", "file": bool}],   tmpfs /run/secrets/NAME; masked in output "memory",
 * "pids", "seconds", "volume": numbers (0: settings), "image": {"command": [...], "env": {...},
 * "port": 3000, "user": "1000:1000"},   into the OCI config "provenance": {...} kept beside the
 * manifest, digest in its annotations
 *   } */
WIRE_TABLE host_build_run[] = {WIRE_TEXT("build", 128),
                               WIRE_TEXT("app", 40),
                               WIRE_TEXT("app_env", 96),
                               WIRE_INT("app_env_id", 1, WIRE_ANY),
                               WIRE_INT_OPTIONAL("id_range", 1, WIRE_ANY),
                               WIRE_OBJECT("spec")};
/* build.source: fd 0: the source tree as a tar stream, of a build that said "source". A stream that
 * is cut short is asked for again, a few times: its sender may have died. reply {"taken": bool}:
 * false when the build does not wait for a tree (any more) */
WIRE_TABLE host_build_source[] = {WIRE_TEXT("build", 128)};
WIRE_TABLE host_build_cancel[] = {WIRE_TEXT("build", 128)}; /* reply when every process is gone */
/* build.output: reply {"text", "offset", "next", "end": bool, "size", "dropped"}; at most 256 KiB a
 * call. */
WIRE_TABLE host_build_output[] = {WIRE_TEXT("build", 128), WIRE_INT("offset", 0, 0)};

/* app_env.forget: it is gone with its app: its builds are cancelled, and when they have
 * ended their output and its cache are removed; then the reply. Its app_env_id is never used again;
 * after this its id_range may be. */
WIRE_TABLE host_app_env_forget[] = {WIRE_INT("app_env_id", 1, WIRE_ANY)};

/* release.prepare: verify the artifact's blobs and unpack what is not unpacked yet. reply {"ms",
 * "bytes", "reused"} */
WIRE_TABLE host_release_prepare[] = {WIRE_TEXT("artifact", 80)};
/* artifact.stat: reply {"present": bool, "bytes", "unpacked": bool, "base": digest} */
WIRE_TABLE host_artifact_stat[] = {WIRE_TEXT("artifact", 80)};
/* artifact.provenance: how it was made. reply {"artifact","digest": of the blob,"provenance": what
 * core said, and of the host: "base","build_base","spec_digest","checks","started_at","ended_at"}
 */
WIRE_TABLE host_artifact_provenance[] = {WIRE_TEXT("artifact", 80)};
/* retention: remove artifacts, unpacked layers, bases, that are not in `keep`
 * (artifact digests) and that nothing running uses; younger than an hour stay. Of builds that ended
 * the newest 20 of each app-env and those that failed in 14 days keep output and result. Caches go
 * that nobody used for 30 days. reply {"removed",
 * "bytes"} */
WIRE_TABLE host_retention[] = {WIRE_LIST("keep", 100000)};

/* instance.start: reply when ready {"address": "10.213.0.7", "port", "pid", "create_ms",
 * "ready_ms"}; failures: instance_not_ready (deadline), instance_exited (text holds exit code and
 * last output line). spec: { "command": [...], "env": {"K":"V"}, "port": 3000, "user": "1000:1000"
 * (inside; default), "health": {"path": "/up", "interval_ms": 10, "timeout_ms": 5000,
 * "deadline_ms": 30000, "liveness_ms": 1000}, "memory": bytes, "cpus": millis (1000 = one core; 0
 * none), "pids": n, "stop": {"signal": "TERM", "grace_ms": 10000}, "files": [{"path":
 * "config.json", "value_b64"}],          /run/slipway/config/PATH, read-only "secrets": [{"name",
 * "value_b64", "env": bool}],          /run/slipway/secrets/NAME (0400, app's user), or a variable
 *     "network": {"outside": true} }
 * Variables given to every instance: PORT, SLIPWAY_APP, SLIPWAY_ENV, SLIPWAY_RELEASE,
 * SLIPWAY_INSTANCE. */
WIRE_TABLE host_instance_start[] = {WIRE_TEXT("instance", 128),
                                    WIRE_TEXT("app", 40),
                                    WIRE_TEXT("env", 40),
                                    WIRE_INT("app_env_id", 1, WIRE_ANY),
                                    WIRE_INT_OPTIONAL("id_range", 1, WIRE_ANY),
                                    WIRE_INT("release", 1, WIRE_ANY),
                                    WIRE_TEXT("artifact", 80),
                                    WIRE_INT("rollout", 0, 0),
                                    WIRE_INT("epoch", 1, WIRE_ANY),
                                    WIRE_OBJECT("spec")};
/* instance.stop: stop signal, grace, kill, remove all traces; reply {"exit_code", "ms", "killed":
 * bool} when gone. */
WIRE_TABLE host_instance_stop[] = {WIRE_TEXT("instance", 128)};
/* instance.list: of all, or of one app_env ("shop.dev"); reply {"instances":
 * [{"instance","app_env","app_env_id","release","rollout","state":
 * "starting"|"ready"|"unready"|"backoff"|"crash_loop"|"stopping","address","port","pid","restarts","since"}],
 * "foreign": [names of things in our cgroup that we do not know; none with app_env]}
 * figures: each one also has what its cgroup says now, read for this call: "memory" and
 * "memory_limit" (bytes), "cpu_us" (since its cgroup was made), "pids", and "up_since" (wall ms);
 * null is unknown, or without a limit, or not running. */
WIRE_TABLE host_instance_list[] = {WIRE_BOOL_OPTIONAL("all"), WIRE_TEXT_OPTIONAL("app_env", 96),
                                   WIRE_BOOL_OPTIONAL("figures")};
/* Notices of host: "instance.changed" {one element of the list above, plus "exit_code", "text"}. */
WIRE_TABLE host_instance_changed[] = {{"instance", JSON_FIELD_OBJECT, true, 0, 0}};

/* edge.apply: the whole wanted state of one app-env at the edge; written to files first, then
 * applied to the running HAProxy by the shortest way. `version` only grows per app-env; an older
 * one is refused (E_EPOCH_STALE). reply {"version", "us": time of the runtime calls}. state:
 * {"domains": ["shop.dev.localhost"], "live": "a"|"b"|"" , "share": 0..10000 (to the other slot),
 *     "slots": {"a": [SERVER], "b": [SERVER]}, "maintenance": bool,
 *     "wait_ms": {"a", "b"}: how long an answer may take (0: the edge's own 60 s)}
 *   SERVER: {"name": "r42.1" ([a-z0-9.-]), "address", "port", "weight": 0..256, "drain": bool}
 * A server that is gone from the list is removed at once if drained, else after its drain. */
WIRE_TABLE host_edge_apply[] = {WIRE_TEXT("app_env", 96), WIRE_INT("app_env_id", 1, WIRE_ANY),
                                WIRE_INT("version", 1, WIRE_ANY), WIRE_OBJECT("state")};
WIRE_TABLE host_edge_remove[] = {WIRE_TEXT("app_env", 96), WIRE_INT("app_env_id", 1, WIRE_ANY),
                                 WIRE_INT("version", 1, WIRE_ANY)};
/* edge.drained: reply when none of these servers has a request and no older HAProxy process lives;
 * reply {"ms", "left": requests still there at the deadline (0 when drained)}. */
WIRE_TABLE host_edge_drained[] = {WIRE_TEXT("app_env", 96), WIRE_INT("app_env_id", 1, WIRE_ANY),
                                  WIRE_LIST("servers", 1000), WIRE_INT("deadline_ms", 0, 86400000)};
/* edge.certificate: store a certificate chain and key for a domain, served at once. */
WIRE_TABLE host_edge_certificate[] = {WIRE_TEXT("domain", 253), WIRE_TEXT("pem", 65536)};
/* edge.stat: reply {"up": bool, "pid", "older": n, "since", "dropped_logs", "servers":
 * [{"app_env_id","slot","name","status","sessions","total"}]} */
WIRE_TABLE host_edge_stat[] = {WIRE_INT_OPTIONAL("app_env_id", 1, WIRE_ANY)};

/* journal.head: append {"seq","hash"} to the root-owned list of heads, which only grows: one that
 * is not newer than the last is refused (E_STATE_CONFLICT), the last one itself may come again.
 * journal.heads: fd 0 is a regular file that gets all of them, a line "SEQ HASH" each, in the order
 * of their coming; a line that is no head is to be skipped. reply {"bytes"} */
WIRE_TABLE host_journal_head[] = {WIRE_INT("seq", 1, WIRE_ANY), WIRE_TEXT("hash", 64)};
WIRE_TABLE host_journal_heads[] = {WIRE_BOOL_OPTIONAL("all")};
/* df: reply {"volumes": [{"what","path","bytes","files"}], "free", "total"}; doctor: reply
 * {"checks": [{"name","ok","text","fix"}]} */
WIRE_TABLE host_df[] = {WIRE_BOOL_OPTIONAL("all")};
WIRE_TABLE host_doctor[] = {WIRE_BOOL_OPTIONAL("all")};
/* dump: reply {"dump": every object of the host}. fault: arm a failpoint (failpoint builds only,
 * else E_PROTOCOL) */
WIRE_TABLE host_dump[] = {WIRE_BOOL_OPTIONAL("all")};
WIRE_TABLE host_fault[] = {WIRE_TEXT("point", 100), WIRE_INT("nth", 0, 1000000)};
