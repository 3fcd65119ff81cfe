/* The one program. Which of its parts runs stands in argv[1]: a role of the installation, a
 * tool of root's, a narrowed child of the host, or (everything else) a verb of the command line
 * client. */
#include <sys/prctl.h>
#include "base/mem.h"
#include "base/str.h"
#include "serve/roles.h"

struct part {
    const char *word;
    const char *process; /* the name that ps shows; at most 15 bytes */
    int (*main)(int argc, char **argv);
};

int main(int argc, char **argv)
{
    const struct part parts[] = {
        {"serve", "slipway-serve", serve_main},
        {"down", "slipway-down", down_main},
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
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(parts); i++)
        if (text_is(argv[1], parts[i].word))
            part = parts[i];
    (void)prctl(PR_SET_NAME, part.process); /* only a name */
    return part.main(argc, argv);
}
