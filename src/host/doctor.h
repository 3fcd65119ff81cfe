/* One line of the doctor. */
#pragma once
#include "base/json.h"

static inline void doctor_push(json_t *checks, const char *name, bool ok, const char *text,
                               const char *fix)
{
    json_t *check = json_object();
    json_put_text(check, "name", name);
    json_put_bool(check, "ok", ok);
    json_put_text(check, "text", text);
    json_put_text(check, "fix", ok ? "" : fix);
    json_push(checks, check);
}
