/* Errors: the table, texts that are cut and cleaned, errno, and what the CLI and HTTP make of it.
 */
#include "base/err.h"
#include <errno.h>
#include <string.h>
#include "base/str.h"
#include "base/tap.h"

TEST(sets_kind_place_and_text)
{
    struct err err = ERR_INIT;
    IS_INT(FAIL(&err, E_DIGEST_CHANGED, "digest of '%s' changed", "a"), -1);
    IS_INT(err.kind, E_DIGEST_CHANGED);
    IS_STR(err.text, "digest of 'a' changed");
    OK(strstr(err.file, "err_test.c") && err.line > 0);
}

TEST(failure_is_never_ok)
{
    struct err err = ERR_INIT;
    IS_INT(FAIL(&err, E_OK, "strange"), -1);
    IS_INT(err.kind, E_INTERNAL);
}

TEST(wraps_with_context)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_CORRUPT, "row 3 is short");
    IS_INT(err_wrap(&err, "table '%s'", "apps"), -1);
    IS_STR(err.text, "table 'apps': row 3 is short");
    IS_INT(err.kind, E_CORRUPT);
}

TEST(may_quote_its_own_text)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_CORRUPT, "first");
    (void)FAIL(&err, E_INTERNAL, "second after %s", err.text);
    IS_STR(err.text, "second after first");
}

TEST(takes_the_reason_from_errno)
{
    struct err err = ERR_INIT;
    errno = EACCES;
    IS_INT(FAIL_SYS(&err, "cannot open '%s'", "x"), -1);
    IS_STR(err.text, "cannot open 'x': permission denied");
    IS_INT(err.kind, E_SYSTEM);
    errno = ENOSPC;
    (void)FAIL_SYS(&err, "\xd6\xd0 x");
    IS_INT(err.kind, E_DISK_FULL);
    errno = EDQUOT;
    (void)FAIL_SYS(&err, "\xd6\xd0 x");
    IS_INT(err.kind, E_DISK_FULL);
}

TEST(a_long_subject_keeps_the_reason)
{
    char subject[400];
    struct err err = ERR_INIT;
    memset(subject, 'x', sizeof(subject) - 1);
    subject[sizeof(subject) - 1] = '\0';
    errno = EACCES;
    (void)FAIL_SYS(&err, "cannot open '%s'", subject);
    IS_INT(strlen(err.text), ERR_TEXT_MAX - 1);
    OK(str_ends(str_of(err.text), "x: permission denied"));
}

TEST(cuts_between_characters)
{
    struct err err = ERR_INIT;
    for (int shift = 0; shift < 4; shift++) {
        char text[400] = "abc";
        size_t at = (size_t)shift;
        for (; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        text[at] = '\0';
        (void)FAIL(&err, E_INTERNAL, "%s", text);
        OK(str_is_utf8(str_of(err.text)));
        OK(strlen(err.text) > ERR_TEXT_MAX - 5);
    }
}

TEST(replaces_control_characters)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_INTERNAL, "a\nb\x1b[0m\x7f");
    IS_STR(err.text, "a?b?[0m?");
}

TEST(replaces_what_is_no_utf8)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_INTERNAL, "'\xd6\xd0.txt' \xe4\xb8\xad \xff.");
    IS_STR(err.text, "'??.txt' \xe4\xb8\xad ?.");
    errno = ENOENT;
    (void)FAIL_SYS(&err, "\xd6\xd0 x");
    IS_STR(err.text, "?? x: no such file or directory");
    (void)err_wrap(&err, "\xd6 y");
    IS_STR(err.text, "? y: ?? x: no such file or directory");
}

TEST(knows_the_table)
{
    IS_STR(err_name(E_DIGEST_CHANGED), "digest_changed");
    IS_INT(err_class(E_DIGEST_CHANGED), ERR_CONFLICT);
    IS_STR(err_class_name(ERR_CONFLICT), "CONFLICT");
    IS_INT(err_status(E_DISK_FULL), 507);
    IS_INT(err_from_name("system_error"), E_SYSTEM);
    IS_INT(err_from_name("no_such_name"), E_INTERNAL);
    IS_INT(err_from_name(NULL), E_INTERNAL);
    for (int kind = 0; kind < E_COUNT; kind++)
        IS_INT(err_from_name(err_name((enum err_kind)kind)), kind);
}

TEST(gives_exit_codes)
{
    IS_INT(err_exit_code(E_OK), 0);
    IS_INT(err_exit_code(E_USAGE), 2);
    IS_INT(err_exit_code(E_JSON_INVALID), 10);
    IS_INT(err_exit_code(E_DENIED), 11);
    IS_INT(err_exit_code(E_NOT_FOUND), 12);
    IS_INT(err_exit_code(E_EXISTS), 13);
    IS_INT(err_exit_code(E_TOO_LARGE), 14);
    IS_INT(err_exit_code(E_ROLE_DOWN), 15);
    IS_INT(err_exit_code(E_TIMEOUT), 16);
    IS_INT(err_exit_code(E_CORRUPT), 17);
    IS_INT(err_exit_code(E_INTERNAL), 18);
}

TAP_MAIN()
