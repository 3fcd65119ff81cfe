/* Showing: JSON as it came, or tables. Whatever is written to a terminal passes through cli_safe,
 * in this file and no other: a branch, a file of a repository or a line of output may hold
 * characters that move the cursor, hide text or turn its order around. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"

bool cli_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

static bool json_printed;

bool cli_has_printed_json(void)
{
    return json_printed;
}

/* The length of "ESC [ digits and ; m" at the start, 0 when it is anything else. */
static size_t colour_length(const char *text)
{
    if (text[0] != '\x1b' || text[1] != '[')
        return 0;
    size_t n = 2 + strspn(text + 2, "0123456789;");
    return text[n] == 'm' && n < 20 ? n + 1 : 0;
}

/* One character more, of whatever kind; returns how many bytes of the text it took. */
static size_t add_safe(struct buf *out, struct str text, bool colours, bool *coloured)
{
    size_t step = colour_length(text.data);
    if (step) {
        *coloured = *coloured || colours;
        (void)buf_add(out, text.data, colours ? step : 0); /* unlimited: cannot fail */
        return step;
    }
    step = str_hidden_step(text);
    if (step) {
        bool kept = text.data[0] == '\t' || text.data[0] == '\n';
        (void)buf_add(out, text.data, kept ? 1 : 0);
        return step;
    }
    step = str_utf8_step(text);
    (void)buf_add(out, step ? text.data : "\xef\xbf\xbd", step ? step : 3);
    return step ? step : 1;
}

char *cli_safe(const char *text, bool colours)
{
    struct buf out = BUF_INIT(0);
    bool coloured = false;
    for (struct str rest = str_of(text ? text : ""); rest.length > 0;) {
        size_t used = add_safe(&out, rest, colours, &coloured);
        rest = (struct str){rest.data + used, rest.length - used};
    }
    if (coloured)
        (void)buf_add(&out, "\x1b[0m", 4);
    return buf_take(&out);
}

static void write_safe(FILE *file, const char *text)
{
    AUTO_FREE char *safe = cli_safe(text, cli_is_terminal(fileno(file)));
    (void)fputs(safe, file);
}

__attribute__((format(printf, 2, 0))) static void write_format(FILE *file, const char *format,
                                                               va_list arguments)
{
    AUTO_FREE char *text = mem_format_list(format, arguments);
    write_safe(file, text);
}

void cli_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_format(stdout, format, arguments);
    va_end(arguments);
}

void cli_print_names(const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach((json_t *)(uintptr_t)names, i, name)
    {
        cli_print("%s", i ? ", " : "");
        cli_print_safe(json_string_value(name));
    }
}

void cli_tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_format(stderr, format, arguments);
    va_end(arguments);
}

static FILE *progress_file(const struct cli *c)
{
    return c->json ? stderr : stdout;
}

void cli_progress(const struct cli *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_format(progress_file(c), format, arguments);
    va_end(arguments);
    (void)fflush(progress_file(c));
}

bool cli_progress_is_terminal(const struct cli *c)
{
    return cli_is_terminal(fileno(progress_file(c)));
}

void cli_print_safe(const char *text)
{
    write_safe(stdout, text);
}

char *cli_shell_word(const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:@%+=,";
    struct buf out = BUF_INIT(0);
    if (*text && text[strspn(text, plain)] == 0)
        return mem_strdup(text);
    (void)buf_add_char(&out, '\''); /* unlimited: cannot fail */
    for (const char *at = text; *at; at++)
        (void)(*at == '\'' ? buf_add_text(&out, "'\\''") : buf_add_char(&out, *at));
    (void)buf_add_char(&out, '\'');
    return buf_take(&out);
}

void cli_clear_screen(void)
{
    if (cli_is_terminal(STDOUT_FILENO))
        (void)fputs("\x1b[H\x1b[2J", stdout);
}

void cli_print_json(const json_t *value)
{
    AUTO_FREE char *text = json_print(value); /* escapes what is hidden: nothing is lost */
    json_printed = true;
    cli_print("%s\n", text);
}

void cli_format_age(int64_t wall_ms, char text[24])
{
    int64_t seconds = (clock_wall_ms(clock_system()) - wall_ms) / 1000;
    if (!wall_ms)
        (void)snprintf(text, 24, "-");
    else if (seconds < 120)
        (void)snprintf(text, 24, "%llds", (long long)(seconds < 0 ? 0 : seconds));
    else if (seconds < 7200)
        (void)snprintf(text, 24, "%lldm", (long long)seconds / 60);
    else if (seconds < 172800)
        (void)snprintf(text, 24, "%lldh", (long long)seconds / 3600);
    else
        (void)snprintf(text, 24, "%lldd", (long long)seconds / 86400);
}

static char *list_text(const json_t *value)
{
    struct buf out = BUF_INIT(0);
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        const char *text =
            json_is_object(item) ? json_text_or(item, "branch", "?") : json_string_value(item);
        (void)buf_add_format(&out, "%s%s", i ? "," : "", text ? text : "?"); /* unlimited */
    }
    return buf_take(&out);
}

static char *cell_text(const json_t *row, const struct cli_column *column)
{
    const json_t *value = json_object_get(row, column->key);
    if (!value || json_is_null(value))
        return mem_strdup("-");
    if (column->form == CLI_AGE) {
        char age[24];
        cli_format_age(json_integer_value(value), age);
        return mem_strdup(age);
    }
    if (json_is_array(value))
        return list_text(value);
    if (json_is_boolean(value))
        return mem_strdup(json_is_true(value) ? "yes" : "no");
    if (json_is_integer(value))
        return mem_format("%lld", (long long)json_integer_value(value));
    const char *text = json_string_value(value) ? json_string_value(value) : "";
    if (column->form == CLI_SHORT)
        return mem_format("%.9s", text);
    if (column->form == CLI_DIGEST)
        return mem_format("%.12s", text_starts(text, "sha256:") ? text + 7 : text);
    return mem_strdup(*text ? text : "-");
}

/* Columns on a terminal, counted where a character begins: a CJK character takes two. */
static size_t width_of_byte(char c)
{
    unsigned char byte = (unsigned char)c;
    if ((byte & 0xc0) == 0x80)
        return 0;
    return byte >= 0xe3 && byte <= 0xef ? 2 : 1;
}

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += width_of_byte(*text);
    return width;
}

static void print_cell(const char *text, size_t width, bool last)
{
    cli_print_safe(text);
    for (size_t n = width_of(text); !last && n < width + 2; n++)
        (void)putchar(' ');
}

/* As much of the text as fits in a line; a line break becomes a space. Heap. */
static char *fit_line(FILE *file, const char *text)
{
    struct winsize size = {0};
    size_t columns = 80, used = 0;
    struct buf line = BUF_INIT(0);
    AUTO_FREE char *safe = cli_safe(text, false);
    if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    for (const char *at = safe; *at; at++) {
        used += width_of_byte(*at);
        if (used >= columns)
            break;
        (void)buf_add_char(&line, *at == '\n' || *at == '\t' ? ' ' : *at); /* unlimited */
    }
    return buf_take(&line);
}

void cli_progress_line(const struct cli *c, const char *text)
{
    static char *drawn;
    FILE *file = progress_file(c);
    AUTO_FREE char *line = text ? fit_line(file, text) : NULL;
    if (!cli_is_terminal(fileno(file)) || (line && drawn && text_is(line, drawn)))
        return;
    if (drawn)
        (void)fputs("\r\x1b[K", file);
    if (line)
        (void)fputs(line, file);
    (void)fflush(file);
    free(drawn);
    drawn = TAKE(line);
}

void cli_print_table(const json_t *rows, const struct cli_column *columns, size_t count)
{
    size_t widths[16] = {0};
    size_t i;
    json_t *row;
    for (size_t k = 0; k < count; k++)
        widths[k] = strlen(columns[k].title);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < count; k++) {
            AUTO_FREE char *text = cell_text(row, &columns[k]);
            widths[k] = width_of(text) > widths[k] ? width_of(text) : widths[k];
        }
    }
    for (size_t k = 0; k < count; k++)
        print_cell(columns[k].title, widths[k], k + 1 == count);
    (void)putchar('\n');
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < count; k++) {
            AUTO_FREE char *text = cell_text(row, &columns[k]);
            print_cell(text, widths[k], k + 1 == count);
        }
        (void)putchar('\n');
    }
}

void cli_say_more(const json_t *reply)
{
    const json_t *next = json_object_get(reply, "next");
    if (!json_is_integer(next) && !json_is_string(next))
        return;
    AUTO_FREE char *after = json_is_integer(next)
                                ? mem_format("%lld", (long long)json_integer_value(next))
                                : cli_shell_word(json_string_value(next));
    (void)fflush(stdout);
    cli_tell("there are more: -n COUNT shows so many, --after %s goes on\n", after);
}

void cli_show(const struct cli *c, const json_t *reply, const char *items,
              const struct cli_column *columns, size_t count)
{
    if (c->json)
        cli_print_json(reply);
    else
        cli_print_table(items ? json_list(reply, items) : reply, columns, count);
    cli_say_more(reply);
}
