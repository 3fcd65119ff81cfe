/* `slipway halt --settings FILE`: what the unit runs after each stop (ExecStopPost). When the whole
 * machine stops, edge and instances end in their order, as `slipway down` ends them; at any other
 * stop they go on and nothing happens. Without this systemd would wait for them until it kills
 * them, with no stop signal that a container's first process hears. The next boot starts them. */
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/teardown.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/unit.h"

static int halt_try(int argc, char **argv, struct err *err)
{
    AUTO_FREE char *path = process_settings_path(argc, argv);
    AUTO(settings) *s = NULL;
    bool stops = false;
    if (settings_load(path, &s, err) < 0)
        return -1;
    if (geteuid() != 0)
        return FAIL(err, E_DENIED, "halt must run as root: it ends what root started");
    if (unit_machine_stops(&stops, err) < 0)
        return -1;
    if (!stops)
        return 0;
    log_info("the machine stops: ending the edge and the instances", F_STR("id", s->id));
    teardown_run(s);
    return 0;
}

int halt_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    check_setup("halt", NULL);
    log_setup("halt", LOG_INFO);
    if (halt_try(argc, argv, &err) == 0)
        return 0;
    (void)fprintf(stderr, "slipway halt: %s\n", err.text);
    return err_exit_code(err.kind);
}
