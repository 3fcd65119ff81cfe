/* The service of systemd that serves the usual installation, where there is one. Blocking. */
#pragma once
#include <stdbool.h>
#include "base/err.h"

/* Is this settings file served by a unit? */
bool unit_serves(const char *settings_path);
/* Is the whole machine about to stop or to start again? */
int unit_machine_stops(bool *ret_stops, struct err *err) MUST_CHECK;
/* `systemctl VERB slipway.service`, waited for. */
int unit_do(const char *verb, struct err *err) MUST_CHECK;
