/* Reports of checks: JUnit XML and TAP into counts and a bounded list of cases. Pure parsing; it
 * runs in a narrowed child (report_main) and under the fuzzer. */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define REPORT_CASES 200
#define REPORT_NAME_MAX 300
#define REPORT_TEXT_MAX 2000
#define REPORT_BYTES_MAX (32u << 20)

enum report_outcome { REPORT_PASSED, REPORT_FAILED, REPORT_SKIPPED };
struct report_case {
    char *name, *text; /* text may be NULL */
};
struct report {
    int64_t counts[3]; /* by outcome */
    int64_t ms;
    struct report_case cases[3][REPORT_CASES];
    size_t kept[3];
};
void report_done(struct report *r);
void report_add(struct report *r, enum report_outcome outcome, struct str name, struct str text);
/* {"passed","failed","skipped","ms","cases":[...]}: failed first, at most REPORT_CASES. */
json_t *report_json(const struct report *r);

/* Whole documents. E_VALUE_INVALID when it is none, declares a DOCTYPE, or breaks off. */
int report_junit(struct report *r, struct str xml, struct err *err) MUST_CHECK;
int report_tap(struct report *r, struct str text, struct err *err) MUST_CHECK;
