/* Reports: counts, order, bounds, and what is refused. */
#include "host/build/report.h"
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"

static struct report report;

static const char *case_field(json_t *value, size_t i, const char *field)
{
    return json_text_or(json_array_get(json_list(value, "cases"), i), field, "");
}

TEST(junit_counts_and_puts_failures_first)
{
    struct err err = ERR_INIT;
    struct str xml =
        STR("<?xml version=\"1.0\"?><testsuites><testsuite name='s'>"
            "<testcase classname='a.B' name='good' time='0.5'/>"
            "<testcase classname='a.B' name='bad' time='1.25'><failure message='1 &lt; 2'>at B:3"
            "</failure><system-out>noise</system-out></testcase>"
            "<testcase name='later'><skipped/></testcase>"
            "<testcase name='broken'><error>boom</error></testcase></testsuite></testsuites>");
    IS_INT(report_junit(&report, xml, &err), 0);
    AUTO_JSON *value = report_json(&report);
    IS_INT(json_int(value, "passed", -1), 1);
    IS_INT(json_int(value, "failed", -1), 2);
    IS_INT(json_int(value, "skipped", -1), 1);
    IS_INT(json_int(value, "ms", -1), 1750);
    IS_STR(case_field(value, 0, "name"), "a.B.bad");
    IS_STR(case_field(value, 0, "text"), "1 < 2\nat B:3");
    IS_STR(case_field(value, 1, "text"), "boom");
    IS_STR(case_field(value, 3, "outcome"), "passed");
    report_done(&report);
}

TEST(junit_refuses_doctype_rubbish_and_depth)
{
    struct err err = ERR_INIT;
    AUTO_BUF deep = {0};
    for (int i = 0; i < 200; i++)
        err_ignore(buf_add_text(&deep, "<a>"));
    OK(report_junit(&report, STR("<!DOCTYPE a [<!ENTITY x 'y'>]><testsuite/>"), &err) < 0);
    OK(strstr(err.text, "DOCTYPE") != NULL);
    OK(report_junit(&report, STR("<testsuite><testcase name='x'>"), &err) < 0);
    OK(report_junit(&report, STR("<html/>"), &err) < 0);
    OK(report_junit(&report, STR(""), &err) < 0);
    OK(report_junit(&report, buf_str(&deep), &err) < 0);
    report_done(&report);
}

TEST(cases_are_bounded)
{
    struct err err = ERR_INIT;
    AUTO_BUF xml = {0};
    err_ignore(buf_add_text(&xml, "<testsuite>"));
    for (int i = 0; i < 1000; i++)
        err_ignore(buf_add_format(&xml, "<testcase name='c%d'/>", i));
    err_ignore(buf_add_text(&xml, "<testcase name='last'><failure>"));
    for (int i = 0; i < 10000; i++)
        err_ignore(buf_add_text(&xml, "\xe4\xb8\xad"));
    err_ignore(buf_add_text(&xml, "</failure></testcase></testsuite>"));
    IS_INT(report_junit(&report, buf_str(&xml), &err), 0);
    AUTO_JSON *value = report_json(&report);
    IS_INT(json_int(value, "passed", -1), 1000);
    IS_INT(json_array_size(json_list(value, "cases")), REPORT_CASES);
    IS_STR(case_field(value, 0, "name"), "last");
    OK(strlen(case_field(value, 0, "text")) <= REPORT_TEXT_MAX);
    OK(str_is_utf8(str_of(case_field(value, 0, "text"))));
    report_done(&report);
}

TEST(tap_with_directives_and_diagnostics)
{
    struct err err = ERR_INIT;
    struct str text =
        STR("TAP version 13\n# Subtest: x\n    ok 1 - nested\n    1..1\nok 1 - one\r\n"
            "not ok 2 - two\n  ---\n  error: 'no'\n  ...\nok 3 - three # SKIP not here\n"
            "not ok 4 - four # TODO later\n1..4\n# tests 4\n");
    IS_INT(report_tap(&report, text, &err), 0);
    AUTO_JSON *value = report_json(&report);
    IS_INT(json_int(value, "passed", -1), 1);
    IS_INT(json_int(value, "failed", -1), 1);
    IS_INT(json_int(value, "skipped", -1), 2);
    IS_STR(case_field(value, 0, "name"), "two");
    IS_STR(case_field(value, 0, "text"), "  ---\n  error: 'no'\n  ...\n");
    IS_STR(case_field(value, 1, "text"), "SKIP not here");
    report_done(&report);
}

TEST(tap_misses_what_did_not_run)
{
    struct err err = ERR_INIT;
    IS_INT(report_tap(&report, STR("1..3\nok 1\nBail out! no disk\n"), &err), 0);
    IS_INT(report.counts[REPORT_FAILED], 2);
    IS_STR(report.cases[REPORT_FAILED][1].name, "2 planned tests did not run");
    report_done(&report);
    OK(report_tap(&report, STR("hello\n"), &err) < 0);
    IS_INT(report_tap(&report, STR("1..0 # skipped\n"), &err), 0);
    report_done(&report);
}

TAP_MAIN()
