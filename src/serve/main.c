/* The one program. Which of its parts runs stands in argv[1]: a role of the installation, a
 * tool of root's, a narrowed child of the host, or (everything else) a verb of the command line
 * client. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include "base/mem.h"
#include "base/str.h"
#include "serve/attach.h"
#include "serve/process.h"
#include "serve/roles.h"

struct part {
    const char *word;
    const char *process; /* the name that ps shows; at most 15 bytes */
    int (*main)(int argc, char **argv);
};

/* A role in a unit of its own: what its main finds open comes from the supervisor. */
static int attached(int argc, char **argv)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = process_settings_path(argc, argv);
    AUTO(settings) *s = NULL;
    (void)unsetenv(ATTACH_VARIABLE); /* fails for bad names only */
    if (settings_load(path, &s, &err) == 0 && attach_as_role(s, &err) == 0)
        return 0;
    (void)fprintf(stderr, "slipway %s: %s\n", argv[1], err.text);
    return err_exit_code(err.kind);
}

int main(int argc, char **argv)
{
    const struct part parts[] = {
        {"serve", "slipway-serve", serve_main},
        {"down", "slipway-down", down_main},
        {"halt", "slipway-halt", halt_main},
        {"backup", "slipway-backup", backup_main},
        {"restore", "slipway-restore", restore_main},
        {"core", "slipway-core", core_main},
        {"core-store", "slipway-store", core_store_main},
        {"courier", "slipway-courier", courier_main},
        {"host", "slipway-host", host_main},
        {"signals", "slipway-signals", signals_main},
        {"host-probe", "slipway-probe", probe_main},
        {"host-unpack", "slipway-unpack", unpack_main},
        {"host-report", "slipway-report", report_main},
        {"host-pack", "slipway-pack", pack_main},
    };
    struct part part = {"", "slipway", cli_main};
    if (argc > 0 && git_ssh_is(argv[0]))
        return git_ssh_main(argc, argv);
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(parts); i++)
        if (text_is(argv[1], parts[i].word))
            part = parts[i];
    (void)prctl(PR_SET_NAME, part.process); /* only a name */
    if (getenv(ATTACH_VARIABLE) && part.main != cli_main) {
        int code = attached(argc, argv);
        if (code != 0)
            return code;
    }
    return part.main(argc, argv);
}
