/* See unit.h. */
#include "serve/unit.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/process.h"
#include "serve/program.h"

bool unit_serves(const char *settings_path)
{
    return text_is(settings_path, SETTINGS_PATH) && file_exists("/run/systemd/system") &&
           (file_exists("/etc/systemd/system/slipway.service") ||
            file_exists("/lib/systemd/system/slipway.service"));
}

int unit_do(const char *verb, struct err *err)
{
    const char *const argv[] = {"/usr/bin/systemctl", verb, "slipway.service", NULL};
    const struct program program = {argv, NULL, -1, 0};
    AUTO_FREE char *out = NULL;
    return program_run(&program, &out, err);
}

int unit_machine_stops(bool *ret_stops, struct err *err)
{
    const char *const argv[] = {"/usr/bin/systemctl", "show", "--property=SystemState", "--value",
                                NULL};
    const struct program program = {argv, NULL, -1, 4096};
    AUTO_FREE char *out = NULL;
    if (program_run(&program, &out, err) < 0)
        return -1;
    *ret_stops = text_starts(out, "stopping");
    return 0;
}
