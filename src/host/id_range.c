/* Which range of user ids the app-env of a verb, or of a record, has. */
#include "base/json.h"
#include "host/host.h"

int host_id_range(const struct settings *s, const json_t *args, int64_t *ret_number,
                  struct err *err)
{
    int64_t number = json_int(args, "id_range", json_int(args, "app_env_id", 0));
    if (number < 1 || number > settings_range_max(s))
        return FAIL(err, E_OUT_OF_RANGE, "there is no range of user ids %lld, the last is %lld",
                    (long long)number, (long long)settings_range_max(s));
    *ret_number = number;
    return 0;
}
