/* What the documents take from the tables of the program: pictures of the state machines, the
 * lists of routes, verbs and errors, and the API for other programs (openapi.c). `generate FOLDER`
 * writes them; tools/docs runs it, and CI fails when docs/generated is not what comes out. */
#include <stdio.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/sm.h"
#include "cli/cli.h"
#include "core/access/access.h"
#include "core/api/api_priv.h"
#include "core/build/build.h"
#include "core/release/release.h"
#include "openapi.h"

extern const struct sm build_sm, rollout_sm, step_sm, instance_sm, landing_sm, culprit_sm,
    finding_sm, origin_sm, try_sm; /* core's */
extern const struct sm edge_sm, host_build_sm, host_instance_sm;

static const char *folder;

static void page_write(const char *name, const struct buf *text)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/%s", folder, name);
    if (file_write(path, buf_str(text), 0644, &err) == 0)
        return;
    (void)fprintf(stderr, "generate: %s\n", err.text);
    exit(1);
}

static void states(void)
{
    const struct {
        const char *name;
        const struct sm *sm;
    } all[] = {
        {"core-build", &build_sm},     {"core-rollout", &rollout_sm},
        {"core-step", &step_sm},       {"core-instance", &instance_sm},
        {"core-culprit", &culprit_sm}, {"core-finding", &finding_sm},
        {"core-landing", &landing_sm}, {"core-origin", &origin_sm},
        {"core-try", &try_sm},         {"host-build", &host_build_sm},
        {"host-edge", &edge_sm},       {"host-instance", &host_instance_sm},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        AUTO_BUF text = BUF_INIT(0);
        AUTO_FREE char *name = mem_format("%s.dot", all[i].name);
        (void)sm_dot(all[i].sm, &text);
        page_write(name, &text);
    }
}

/* " name, kind?" */
static void fields(struct buf *text, const struct json_field *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)buf_add_format(text, "%s %s%s", i ? "," : "", list[i].name,
                             list[i].required ? "" : "?");
}

static void routes(void)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, "# Routes of the API\n\nBelow `/api/v1`; generated from "
                              "`src/core/api/routes.c`. The same for programs, with types and "
                              "limits: [openapi.json](openapi.json).\n\n| method | path | right | "
                              "query | fields | what |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *r = &api_routes[i];
        (void)buf_add_format(&text, "| %s | `%s` | %s |", r->method, r->path,
                             permission_name(r->permission));
        fields(&text, r->query, r->query_count);
        (void)buf_add_text(&text, " |");
        fields(&text, r->fields, r->field_count);
        (void)buf_add_format(&text, " | %s |\n", r->summary);
    }
    page_write("routes.md", &text);
}

static void openapi(void)
{
    AUTO_BUF text = BUF_INIT(0);
    openapi_print(&text);
    page_write("openapi.json", &text);
}

static void verbs(void)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, "# Verbs of the command line\n\nGenerated from `src/cli/cli.c`.\n\n| "
                              "usage | what |\n|---|---|\n");
    for (size_t i = 0; i < cli_verb_count; i++) {
        (void)buf_add_text(&text, "| `slipway ");
        for (const char *c = cli_verbs[i].usage; *c; c++)
            (void)buf_add_format(&text, *c == '|' ? "\\%c" : "%c", *c);
        (void)buf_add_format(&text, "` | %s |\n", cli_verbs[i].summary);
    }
    page_write("verbs.md", &text);
}

static void errors(void)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, "# Errors\n\nGenerated from `src/base/err.def`. The name never "
                              "changes; scripts match on it.\n\n| name | class | HTTP status | "
                              "exit code |\n|---|---|---|---|\n");
    for (int kind = E_OK + 1; kind < E_COUNT; kind++) {
        enum err_kind k = (enum err_kind)kind;
        (void)buf_add_format(&text, "| `%s` | %s | %d | %d |\n", err_name(k),
                             err_class_name(err_class(k)), err_status(k), err_exit_code(k));
    }
    page_write("errors.md", &text);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: generate FOLDER\n");
        return 2;
    }
    folder = argv[1];
    states();
    routes();
    openapi();
    verbs();
    errors();
    return 0;
}
