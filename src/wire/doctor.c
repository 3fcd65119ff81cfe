#include "wire/doctor.h"
#include <unistd.h>
#include "base/mem.h"
#include "wire/programs.h"

json_t *doctor_push(json_t *checks, const char *name, bool ok, const char *text, const char *fix)
{
    json_t *check = json_object();
    json_put_text(check, "name", name);
    json_put_bool(check, "ok", ok);
    json_put_text(check, "text", text);
    json_put_text(check, "fix", ok ? "" : fix);
    json_push(checks, check);
    return check;
}

void doctor_programs(json_t *checks)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        AUTO_FREE char *name = mem_format("program %s", programs[i].name);
        AUTO_FREE char *absent = mem_format("'%s' is missing", programs[i].path);
        AUTO_FREE char *fix = mem_format("apt-get install %s", programs[i].package);
        bool there = access(programs[i].path, X_OK) == 0;
        (void)doctor_push(checks, name, there, there ? programs[i].path : absent, fix);
    }
}
