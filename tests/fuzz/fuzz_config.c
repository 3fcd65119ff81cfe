/* Fuzz: slipway.yaml. The first byte chooses the env asked for; what parses must give both specs,
 * and they must be JSON that can be printed: nothing of a file reaches another role otherwise. */
#include <stdint.h>
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(json_t *spec)
{
    AUTO_FREE char *text = json_print(spec);
    ASSERT(text && text[0] == '{');
    json_decref(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const envs[] = {NULL, "dev", "prod", "a"};
    struct err err = ERR_INIT;
    AUTO_JSON *config = NULL;
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    if (config_parse(text, envs[data[0] % ARRAY_SIZE(envs)], &config, &err) < 0) {
        ASSERT(err.kind != E_OK && text_starts(err.text, CONFIG_FILE));
        ASSERT(err_class(err.kind) == ERR_INPUT || err_class(err.kind) == ERR_LIMIT);
        return 0;
    }
    check_printable(config_build_spec(config));
    check_printable(config_instance_spec(config));
    return 0;
}
