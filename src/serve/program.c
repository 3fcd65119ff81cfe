/* See program.h. */
#include "serve/program.h"
#include <signal.h>
#include "base/mem.h"
#include "io/child.h"
#include "io/loop.h"
#include "wire/settings.h"

#define PROGRAM_MS (6 * 3600 * 1000ll)

struct running {
    const char *what;
    char **ret_out;
    struct err *err;
    int result;
};

static void ended(void *context, const struct child_result *result)
{
    struct running *r = context;
    struct str said = result->error;
    struct str line = str_cut(&said, '\n');
    if (result->exit_code == 0)
        r->result = 0;
    else if (line.length > 0)
        r->result = FAIL(r->err, E_SYSTEM, "%s: %.*s", r->what, (int)line.length, line.data);
    else
        r->result = child_check(result, r->what, r->err);
    if (r->result == 0 && r->ret_out)
        *r->ret_out = str_dup(result->out);
    loop_stop();
}

int program_run(const struct program *p, char **ret_out, struct err *err)
{
    static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                      "LANG=C.UTF-8",
                                      "HOME=/nonexistent",
                                      "GIT_CONFIG_NOSYSTEM=1",
                                      "GIT_CONFIG_GLOBAL=/dev/null",
                                      NULL};
    struct running r = {p->argv[0], ret_out, err, -1};
    struct child_spec spec = {.argv = p->argv,
                              .env = env,
                              .stdin_fd = -1,
                              .out = p->out_fd >= 0 ? CHILD_FD : CHILD_COLLECT,
                              .stdout_fd = p->out_fd,
                              .error = CHILD_COLLECT,
                              .output_max = p->out_max,
                              .timeout_ms = PROGRAM_MS,
                              .on_exit = ended,
                              .context = &r};
    struct child *child;
    if (p->user && settings_uid(p->user, &spec.uid, &spec.gid, err) < 0)
        return -1;
    if (child_start(&spec, &child, err) < 0)
        return -1;
    (void)FAIL(err, E_CANCELLED, "interrupted"); /* unless it ends */
    loop_run(NULL, NULL);
    if (r.result < 0 && err->kind == E_CANCELLED)
        child_kill(child, SIGKILL);
    return r.result;
}
