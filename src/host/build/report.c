/* JUnit by expat, TAP line by line. What we do not know is passed over; what is too long is cut;
 * names and texts end up as valid UTF-8. A DOCTYPE is refused outright, so there are no entities.
 */
#include "host/build/report.h"
#include <expat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

#define DEPTH_MAX 100
#define MS_MAX 1e12

static const char *const outcome_names[] = {"passed", "failed", "skipped"};

void report_done(struct report *r)
{
    for (size_t o = 0; o < ARRAY_SIZE(r->kept); o++)
        for (size_t i = 0; i < r->kept[o]; i++) {
            free(r->cases[o][i].name);
            free(r->cases[o][i].text);
        }
    *r = (struct report){0};
}

static struct str cut(struct str text, size_t max)
{
    if (text.length <= max)
        return text;
    while (max > 0 && ((uint8_t)text.data[max] & 0xc0) == 0x80)
        max--;
    return (struct str){text.data, max};
}

void report_add(struct report *r, enum report_outcome outcome, struct str name, struct str text)
{
    r->counts[outcome]++;
    if (r->kept[outcome] == REPORT_CASES)
        return;
    struct report_case *c = &r->cases[outcome][r->kept[outcome]++];
    c->name = str_dup(cut(name, REPORT_NAME_MAX));
    c->text = text.length > 0 ? str_dup(cut(text, REPORT_TEXT_MAX)) : NULL;
}

json_t *report_json(const struct report *r)
{
    static const enum report_outcome order[] = {REPORT_FAILED, REPORT_SKIPPED, REPORT_PASSED};
    json_t *value = json_object(), *cases = json_array();
    for (size_t o = 0; o < ARRAY_SIZE(order); o++) {
        json_put_int(value, outcome_names[order[o]], r->counts[order[o]]);
        for (size_t i = 0; i < r->kept[order[o]]; i++) {
            const struct report_case *c = &r->cases[order[o]][i];
            if (json_array_size(cases) == REPORT_CASES)
                break;
            json_t *one = json_object();
            json_put_text(one, "name", c->name);
            json_put_text(one, "outcome", outcome_names[order[o]]);
            json_put_text(one, "text", c->text ? c->text : "");
            json_push(cases, one);
        }
    }
    json_put_int(value, "ms", r->ms);
    json_put(value, "cases", cases);
    return value;
}

/* JUnit. */

struct junit {
    struct report *report;
    XML_Parser parser;
    int depth;
    bool in_case, gather, suites_seen, doctype;
    enum report_outcome outcome;
    struct buf name, text;
};

static const char *attribute(const char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

static int64_t seconds_to_ms(const char *text)
{
    double ms = text ? strtod(text, NULL) * 1000 : 0;
    return isfinite(ms) && ms > 0 && ms < MS_MAX ? (int64_t)(ms + 0.5) : 0;
}

static void case_begin(struct junit *j, const char **attributes)
{
    const char *class = attribute(attributes, "classname"), *name = attribute(attributes, "name");
    j->in_case = true;
    j->outcome = REPORT_PASSED;
    buf_clear(&j->name);
    buf_clear(&j->text);
    if (class && class[0] && !text_is(class, name))
        err_ignore(buf_add_format(&j->name, "%s.", class)); /* past the ceiling: cut */
    err_ignore(buf_add_text(&j->name, name ? name : "?"));
    j->report->ms += seconds_to_ms(attribute(attributes, "time"));
}

static void outcome_begin(struct junit *j, enum report_outcome outcome, const char **attributes)
{
    const char *message = attribute(attributes, "message");
    if (j->outcome != REPORT_FAILED)
        j->outcome = outcome;
    j->gather = true;
    if (message && message[0])
        err_ignore(buf_add_format(&j->text, "%s\n", message)); /* past the ceiling: cut */
}

static void on_start(void *context, const char *name, const char **attributes)
{
    struct junit *j = context;
    if (++j->depth > DEPTH_MAX)
        XML_StopParser(j->parser, XML_FALSE);
    if (strcmp(name, "testsuites") == 0 || strcmp(name, "testsuite") == 0)
        j->suites_seen = true;
    else if (strcmp(name, "testcase") == 0)
        case_begin(j, attributes);
    else if (j->in_case && (strcmp(name, "failure") == 0 || strcmp(name, "error") == 0))
        outcome_begin(j, REPORT_FAILED, attributes);
    else if (j->in_case && strcmp(name, "skipped") == 0)
        outcome_begin(j, REPORT_SKIPPED, attributes);
}

static void on_end(void *context, const char *name)
{
    struct junit *j = context;
    j->depth--;
    if (strcmp(name, "testcase") == 0 && j->in_case) {
        report_add(j->report, j->outcome, buf_str(&j->name), str_trim(buf_str(&j->text)));
        j->in_case = false;
    }
    j->gather = false;
}

static void on_text(void *context, const char *text, int length)
{
    struct junit *j = context;
    size_t room = REPORT_TEXT_MAX + 4, part = (size_t)length;
    if (!j->gather || j->text.length >= room)
        return;
    if (part > room - j->text.length)
        part = room - j->text.length;
    err_ignore(buf_add(&j->text, text, part)); /* room was looked at */
}

static void on_doctype(void *context, const char *name, const char *system_id,
                       const char *public_id, int internal)
{
    struct junit *j = context;
    (void)name, (void)system_id, (void)public_id, (void)internal;
    j->doctype = true;
    XML_StopParser(j->parser, XML_FALSE);
}

static int junit_parse(struct junit *j, struct str xml, struct err *err)
{
    XML_SetUserData(j->parser, j);
    XML_SetElementHandler(j->parser, on_start, on_end);
    XML_SetCharacterDataHandler(j->parser, on_text);
    XML_SetStartDoctypeDeclHandler(j->parser, on_doctype);
    if (XML_Parse(j->parser, xml.data, (int)xml.length, XML_TRUE) == XML_STATUS_ERROR)
        return j->doctype ? FAIL(err, E_VALUE_INVALID, "the report declares a DOCTYPE")
                          : FAIL(err, E_VALUE_INVALID, "the report is no XML: line %lu: %s",
                                 (unsigned long)XML_GetCurrentLineNumber(j->parser),
                                 XML_ErrorString(XML_GetErrorCode(j->parser)));
    if (!j->suites_seen)
        return FAIL(err, E_VALUE_INVALID, "the report has no testsuite: it is no JUnit XML");
    return 0;
}

int report_junit(struct report *r, struct str xml, struct err *err)
{
    struct junit j = {.report = r};
    if (xml.length > REPORT_BYTES_MAX)
        return FAIL(err, E_TOO_LARGE, "the report is larger than 32 MiB");
    buf_init(&j.name, 64u << 10);
    buf_init(&j.text, 64u << 10);
    j.parser = XML_ParserCreate(NULL);
    if (!j.parser)
        return FAIL(err, E_INTERNAL, "no memory to parse the report");
    int result = junit_parse(&j, xml, err);
    XML_ParserFree(j.parser);
    buf_done(&j.name);
    buf_done(&j.text);
    return result;
}

/* TAP. */

struct tap_reader {
    struct report *report;
    int64_t planned, seen; /* planned -1: no plan yet */
    bool open;             /* a test line whose diagnostics may follow */
    enum report_outcome outcome;
    struct str name;
    struct buf text;
    bool bailed;
};

static void tap_close(struct tap_reader *t)
{
    if (t->open)
        report_add(t->report, t->outcome, t->name, buf_str(&t->text));
    t->open = false;
    buf_clear(&t->text);
}

/* The directive after an unescaped '#': "SKIP why" or "TODO why". */
static struct str directive(struct str *description)
{
    for (size_t i = 1; i < description->length; i++)
        if (description->data[i] == '#' && description->data[i - 1] != '\\') {
            struct str rest = {description->data + i + 1, description->length - i - 1};
            description->length = i;
            return str_trim(rest);
        }
    return (struct str){0};
}

static bool starts_nocase(struct str text, const char *word)
{
    size_t length = strlen(word);
    return text.length >= length && str_equal_nocase((struct str){text.data, length}, word);
}

static void tap_test(struct tap_reader *t, struct str rest, bool ok)
{
    rest = str_trim(rest);
    while (rest.length > 0 && rest.data[0] >= '0' && rest.data[0] <= '9')
        rest = (struct str){rest.data + 1, rest.length - 1};
    rest = str_trim(rest);
    if (str_starts(rest, "- "))
        rest = (struct str){rest.data + 2, rest.length - 2};
    struct str what = directive(&rest);
    bool excused = starts_nocase(what, "skip") || starts_nocase(what, "todo");
    tap_close(t);
    t->seen++;
    t->open = true;
    t->outcome = excused ? REPORT_SKIPPED : ok ? REPORT_PASSED : REPORT_FAILED;
    t->name = str_trim(rest);
    if (t->name.length == 0)
        t->name = STR("?");
    if (excused)
        err_ignore(buf_add_str(&t->text, what)); /* past the ceiling: left out */
}

static void tap_plan(struct tap_reader *t, struct str rest)
{
    int64_t planned;
    struct err err = ERR_INIT;
    struct str number = str_trim(str_cut(&rest, '#'));
    if (t->planned < 0 && str_to_int(number, 0, 10000000, "plan", &planned, &err) == 0)
        t->planned = planned;
}

static void tap_line(struct tap_reader *t, struct str line)
{
    if (line.length > 0 && line.data[line.length - 1] == '\r')
        line.length--;
    if (str_starts(line, "ok") && (line.length == 2 || line.data[2] == ' '))
        tap_test(t, (struct str){line.data + 2, line.length - 2}, true);
    else if (str_starts(line, "not ok") && (line.length == 6 || line.data[6] == ' '))
        tap_test(t, (struct str){line.data + 6, line.length - 6}, false);
    else if (str_starts(line, "1.."))
        tap_plan(t, (struct str){line.data + 3, line.length - 3});
    else if (str_starts(line, "Bail out!"))
        t->bailed = true;
    else if (t->open && t->outcome == REPORT_FAILED && line.length > 0 &&
             (line.data[0] == ' ' || line.data[0] == '#') && t->text.length < REPORT_TEXT_MAX) {
        err_ignore(buf_add_str(&t->text, line)); /* past the ceiling: left out */
        err_ignore(buf_add_char(&t->text, '\n'));
    }
}

int report_tap(struct report *r, struct str text, struct err *err)
{
    struct tap_reader t = {.report = r, .planned = -1};
    if (text.length > REPORT_BYTES_MAX)
        return FAIL(err, E_TOO_LARGE, "the report is larger than 32 MiB");
    buf_init(&t.text, 64u << 10);
    for (struct str rest = text; rest.data && rest.length > 0;)
        tap_line(&t, str_cut(&rest, '\n'));
    tap_close(&t);
    buf_done(&t.text);
    if (t.planned < 0 && t.seen == 0 && !t.bailed)
        return FAIL(err, E_VALUE_INVALID, "the report has neither plan nor test: it is no TAP");
    if (t.bailed)
        report_add(r, REPORT_FAILED, STR("bailed out"), STR(""));
    if (t.planned > t.seen) {
        AUTO_FREE char *name =
            mem_format("%lld planned tests did not run", (long long)(t.planned - t.seen));
        report_add(r, REPORT_FAILED, str_of(name), STR(""));
    }
    return 0;
}
