/* The output: packed by the narrowed child into a blob file, then (on the pool) hashed, admitted
 * and named by a manifest. */
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/artifact/artifact.h"
#include "host/build/build_priv.h"
#include "host/build/pack.h"
#include "host/narrow/narrow.h"

#define PACK_MS (10 * 60 * 1000)

/* Every entry's time: given by who knows the commit's, so that the same commit gives the same
 * layer. */
static int64_t epoch_of(const struct build *b)
{
    const char *text = json_text(json_dict(b->spec, "env"), "SOURCE_DATE_EPOCH");
    int64_t epoch = 0;
    struct err err = ERR_INIT;
    if (text && str_to_int(str_of(text), 0, 1ll << 33, "SOURCE_DATE_EPOCH", &epoch, &err) < 0)
        return 0;
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
                                   .provenance = json_object_get(b->spec, "provenance"),
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
    loop_work(admit_work, admit_done, b);
}
