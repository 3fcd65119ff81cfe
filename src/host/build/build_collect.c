/* The output: packed by the narrowed child into a blob file, then (on the pool) hashed, admitted
 * and named by a manifest. */
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/build/build_priv.h"
#include "host/build/pack.h"
#include "host/narrow/narrow.h"

#define PACK_MS (10 * 60 * 1000)

/* Every entry's time: the commit's, so that the same commit gives the same layer. */
static int64_t epoch_of(const struct build *b)
{
    const char *text = json_text(json_dict(b->spec, "env"), "SOURCE_DATE_EPOCH");
    int64_t epoch = b->epoch;
    struct err err = ERR_INIT;
    if (text && str_to_int(str_of(text), 0, 1ll << 33, "SOURCE_DATE_EPOCH", &epoch, &err) < 0)
        return b->epoch;
    return epoch;
}

static char *pack_request(const struct build *b)
{
    AUTO_JSON *request = json_object();
    json_put(request, "output", json_deep_copy(json_list(b->spec, "output")));
    json_put(request, "exclude", json_deep_copy(json_list(b->spec, "exclude")));
    json_put_text(request, "prefix", json_text_or(b->spec, "workdir", "/app") + 1);
    json_put_int(request, "epoch", epoch_of(b));
    return json_print(request);
}

static void on_packed(void *context, const struct child_result *r)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    AUTO_JSON *ok = NULL;
    b->child = NULL;
    if (build_arrived(b))
        return;
    if (narrow_read_answer(r, "collecting the output", &ok, &err) < 0) {
        build_fail(b, &err);
        return;
    }
    b->files = json_int(ok, "files", 0);
    build_event(b, BUILD_EVENT_READY);
}

static int pack_begin(struct build *b, struct err *err)
{
    AUTO_FREE char *tree = mem_format("%s/tree", b->mount), *request = pack_request(b);
    AUTO_CLOSE int fd = -1;
    const char *argv[] = {NARROW_SELF, "host-pack", tree, NULL};
    if (artifact_disk_room(0, err) < 0 || artifact_blob_temp(&b->blob_path, &fd, err) < 0)
        return -1;
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .stdin_pipe = true,
                              .stdin_data = str_of(request),
                              .out = CHILD_COLLECT,
                              .error = CHILD_INHERIT,
                              .fds = {fd},
                              .fd_count = 1,
                              .timeout_ms = PACK_MS,
                              .on_exit = on_packed,
                              .context = b};
    FAULT("build.pack");
    return child_start(&spec, &b->child, err);
}

void build_collect_begin(struct build *b)
{
    struct err err = ERR_INIT;
    if (pack_begin(b, &err) < 0)
        build_fail(b, &err);
    else
        b->pending = BUILD_ON_CHILD;
}

/* Of the spec without its secrets, nor what differs from build to build. */
static void spec_digest(const struct build *b, char digest[SHA_DIGEST])
{
    AUTO_JSON *spec = json_copy(b->spec);
    (void)json_object_del(spec, "secrets"); /* absent is fine */
    (void)json_object_del(spec, "provenance");
    char *text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
    ASSERT(text);
    sha_digest_of(str_of(text), digest);
    free(text);
}

/* The counts without the cases: those stand in the build's result. */
static json_t *check_summary(const json_t *checks)
{
    static const char *const names[] = {"name", "ok", "passed", "failed", "skipped", "ms"};
    json_t *list = json_array(), *check;
    size_t i;
    json_array_foreach((json_t *)checks, i, check)
    {
        json_t *one = json_object();
        for (size_t n = 0; n < ARRAY_SIZE(names); n++)
            if (json_object_get(check, names[n]))
                json_put(one, names[n], json_incref(json_object_get(check, names[n])));
        json_push(list, one);
    }
    return list;
}

/* What core said of the source, and what only this host knows. */
static json_t *provenance(const struct build *b)
{
    char digest[SHA_DIGEST];
    json_t *p = json_deep_copy(json_dict(b->spec, "provenance"));
    spec_digest(b, digest);
    json_put_text(p, "base", b->base);
    json_put_text(p, "build_base", b->build_base);
    json_put_text(p, "spec_digest", digest);
    json_put(p, "checks", check_summary(b->checks));
    json_put_int(p, "source_date", b->epoch);
    json_put_int(p, "started_at", b->begun_wall_ms);
    json_put_int(p, "ended_at", clock_wall_ms(clock_system()));
    return p;
}

static void admit_work(void *context)
{
    struct build *b = context;
    if (artifact_blob_admit(b->blob_path, b->layer, &b->layer_bytes, &b->work_err) < 0)
        return; /* told by admit_done */
    struct artifact_parts parts = {.base = b->base,
                                   .layer = b->layer,
                                   .layer_bytes = b->layer_bytes,
                                   .workdir = json_text_or(b->spec, "workdir", "/app"),
                                   .image = json_object_get(b->spec, "image"),
                                   .provenance = b->provenance,
                                   .created = epoch_of(b)};
    if (artifact_assemble(&parts, b->artifact, &b->work_err) < 0)
        return; /* told by admit_done */
}

static void admit_done(void *context)
{
    struct build *b = context;
    if (build_arrived(b))
        return;
    FAULT("build.admitted");
    if (b->work_err.kind != E_OK)
        build_fail(b, &b->work_err);
    else
        build_event(b, BUILD_EVENT_READY);
}

void build_admit_begin(struct build *b)
{
    b->pending = BUILD_ON_WORK;
    b->provenance = provenance(b);
    loop_work(admit_work, admit_done, b);
}
