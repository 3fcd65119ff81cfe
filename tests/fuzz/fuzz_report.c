/* Fuzz target: reports of checks, JUnit XML or TAP by the first byte. Whatever a build wrote there,
 * what comes out is bounded and printable. */
#include <stdint.h>
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/build/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    if (size == 0)
        return 0;
    struct report *r = mem_alloc(sizeof(*r));
    struct str text = {(const char *)data + 1, size - 1};
    int result = data[0] % 2 ? report_junit(r, text, &err) : report_tap(r, text, &err);
    if (result < 0)
        ASSERT(err.kind != E_OK && err.text[0]);
    json_t *shown = report_json(r);
    AUTO_FREE char *printed = json_print(shown);
    ASSERT(json_array_size(json_list(shown, "cases")) <= REPORT_CASES && printed[0] == '{');
    json_decref(shown);
    report_done(r);
    free(r);
    return 0;
}
