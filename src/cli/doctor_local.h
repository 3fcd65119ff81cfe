/* What the doctor sees on this machine without asking core: so that it also tells why core does not
 * answer. Root only; reads, changes nothing. Each check is {"name","ok","text","fix"}, and "log":
 * [lines] where a role's last words say more. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

/* trouble: why the API does not answer; NULL: it does. */
void doctor_local(const char *settings_path, const char *trouble, json_t *checks);
/* One list of two: of checks with the same name the bad one stays. Takes nothing. */
json_t *doctor_merge(const json_t *local, const json_t *remote);
