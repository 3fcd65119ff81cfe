/* What others wrote, on its way to a terminal. */
#include "base/tap.h"
#include "cli/cli.h"

static bool safe_is(const char *text, bool colours, const char *wanted)
{
    AUTO_FREE char *safe = cli_safe(text, colours);
    return IS_STR(safe, wanted);
}

TEST(plain_text_stays)
{
    OK(safe_is("a line\n\tof \u4e2d\u6587, caf\u00e9 and \U0001f600", false,
               "a line\n\tof \u4e2d\u6587, caf\u00e9 and \U0001f600"));
    OK(safe_is("", false, ""));
    OK(safe_is(NULL, false, ""));
}

TEST(sequences_lose_what_starts_them)
{
    OK(safe_is("\x1b[2Jx", false, "[2Jx"));
    OK(safe_is("\x1b]52;c;ZXZpbA==\x07", true, "]52;c;ZXZpbA=="));
    OK(safe_is("a\b\r\v\f\x7f"
               "b",
               false, "ab"));
    OK(safe_is("c1\xc2\x9b"
               "2Jx\xc2\x85",
               false, "c12Jx"));
}

TEST(marks_that_turn_or_hide_text_are_taken_out)
{
    OK(safe_is("bidi\u202ex\u2066y\u200e\u061c", false, "bidixy"));
    OK(safe_is("no\u200bthing\ufeff\u00ad \U000e0041", false, "nothing "));
    OK(safe_is("two\u2028lines", false, "twolines"));
}

TEST(bytes_that_are_no_text_are_replaced)
{
    OK(safe_is("x\x9b"
               "2J",
               false, "x\ufffd2J"));
    OK(safe_is("\xc3(\xff", false, "\ufffd(\ufffd"));
    OK(safe_is("cut \xe2\x80", false, "cut \ufffd\ufffd"));
}

TEST(colours_stay_when_asked_for_and_end)
{
    OK(safe_is("\x1b[1;31mred", true, "\x1b[1;31mred\x1b[0m"));
    OK(safe_is("\x1b[1;31mred", false, "red"));
    OK(safe_is("\x1b[31", true, "[31"));
}

TAP_MAIN()
