/* The test runner: tests register themselves before main, run in order, and print TAP. A test fails
 * when one of its checks failed; each failed check prints one diagnostic line. There is no
 * isolation between tests of one program: a crash ends it without a plan, which the harness
 * reports. */
#include "base/tap.h"
#include <stdio.h>
#include <string.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define TAP_TESTS_MAX 1024

struct tap_test {
    const char *name;
    tap_test_fn *fn;
};

static struct tap_test tap_tests[TAP_TESTS_MAX];
static size_t tap_test_count;
static bool tap_failed;
static char *tap_folder; /* of the running test, NULL until it asks */

void tap_register(const char *name, tap_test_fn *fn)
{
    ASSERT(tap_test_count < TAP_TESTS_MAX);
    tap_tests[tap_test_count++] = (struct tap_test){name, fn};
}

bool tap_ok(bool ok, const char *file, int line, const char *text)
{
    if (!ok) {
        tap_failed = true;
        printf("# %s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

/* A diagnostic is one line of the protocol: line breaks in values must not leave it. */
static void tap_print_value(const char *label, const char *value)
{
    AUTO_BUF shown = BUF_INIT(0);
    if (value)
        (void)buf_add_json_string(&shown, str_of(value));
    printf("#   %s %s\n", label, value ? shown.data : "NULL");
}

bool tap_is_str(const char *got, const char *want, const char *file, int line)
{
    bool same = got && want ? strcmp(got, want) == 0 : got == want;
    if (!same) {
        tap_failed = true;
        printf("# %s:%d: texts differ\n", file, line);
        tap_print_value(" got", got);
        tap_print_value("want", want);
    }
    return same;
}

bool tap_is_int(int64_t got, int64_t want, const char *file, int line)
{
    if (got != want) {
        tap_failed = true;
        printf("# %s:%d: got %lld, want %lld\n", file, line, (long long)got, (long long)want);
    }
    return got == want;
}

const char *tap_dir(void)
{
    const char *base = getenv("TMPDIR");
    if (tap_folder)
        return tap_folder;
    tap_folder = mem_format("%s/slipway-test-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(tap_folder))
        PANIC("cannot make a folder for the test");
    return tap_folder;
}

static void tap_remove_dir(void)
{
    struct err err = ERR_INIT;
    if (tap_folder && file_remove_tree(tap_folder, &err) < 0) {
        tap_failed = true;
        printf("# %s\n", err.text);
    }
    free(TAKE(tap_folder));
}

static bool tap_run(const struct tap_test *test, size_t number)
{
    tap_failed = false;
    test->fn();
    tap_remove_dir();
    printf("%s %zu - %s\n", tap_failed ? "not ok" : "ok", number, test->name);
    return !tap_failed;
}

int tap_main(int argc, char **argv)
{
    size_t ran = 0, passed = 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a test that forks must not print lines twice */
    for (size_t i = 0; i < tap_test_count; i++) {
        if (argc > 1 && !strstr(tap_tests[i].name, argv[1]))
            continue;
        ran++;
        passed += tap_run(&tap_tests[i], ran) ? 1 : 0;
    }
    printf("1..%zu\n", ran);
    return ran == passed ? 0 : 1;
}
