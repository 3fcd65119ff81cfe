/* Unit tests, TAP on stdout, no framework:
 *
 *     TEST(refuses_start_when_live) { ... OK(x); IS_STR(a, b); IS_INT(a, b); }
 *
 * Each X_test.c is a program of its own; main comes from tap.c through TAP_MAIN(). Tests run in the
 * order they stand. Exit code 0 when all passed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef void tap_test_fn(void);
void tap_register(const char *name, tap_test_fn *fn);
int tap_main(int argc, char **argv); /* argv[1]: run only tests whose name contains it */
bool tap_ok(bool ok, const char *file, int line, const char *text);
bool tap_is_str(const char *got, const char *want, const char *file, int line);
bool tap_is_int(int64_t got, int64_t want, const char *file, int line);
/* A fresh folder under $TMPDIR, removed after the test. */
const char *tap_dir(void);
#define OK(condition) tap_ok((condition), __FILE__, __LINE__, #condition)
#define IS_STR(got, want) tap_is_str((got), (want), __FILE__, __LINE__)
#define IS_INT(got, want) tap_is_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__)
#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        tap_register(#name, test_##name);                                                          \
    }                                                                                              \
    static void test_##name(void)
#define TAP_MAIN()                                                                                 \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return tap_main(argc, argv);                                                               \
    }
