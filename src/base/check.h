/* Assertions and panic.
 *
 * ASSERT is for our own mistakes and stays on in release builds; input, disk and network are never
 * asserted. A panic prints version, role, current command, the last steps of state machines and a
 * backtrace to stderr and to panic-<time>.txt in the panic directory (when set), then aborts. Any
 * thread. */
#pragma once

#define ASSERT(condition)                                                                          \
    ((condition) ? (void)0                                                                         \
                 : check_panic(__FILE__, __LINE__, __func__, "assertion failed: " #condition))
#define PANIC(text) check_panic(__FILE__, __LINE__, __func__, (text))
_Noreturn void check_panic(const char *file, int line, const char *function, const char *text);
/* What the panic names: static or long-lived strings. The directory may be NULL; of the panics in
 * it the newest CHECK_PANICS_KEPT stay. */
#define CHECK_PANICS_KEPT 20
void check_setup(const char *role, const char *panic_dir);
/* The command in progress on this thread ("POST /api/v1/..."), copied (cut at 127 bytes). */
void check_command(const char *command);
/* A step of a state machine on this thread, static strings; a panic names the last few. */
void check_step(const char *machine, const char *from, const char *event);
/* The thread that called check_own_loop owns the domain objects of the role. */
void check_own_loop(void);
void check_on_loop(const char *file, int line);
#define CHECK_LOOP() check_on_loop(__FILE__, __LINE__)
