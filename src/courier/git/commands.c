/* See commands.h. */
#include "courier/git/commands.h"
#include <stdio.h>
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/git/call.h"

#define PKT_HEAD 4
#define PKT_MAX 65520
#define SIDE_BAND_MAX 65515 /* payload of a pkt-line without its band byte */

void push_commands_init(struct push_commands *pc)
{
    *pc = (struct push_commands){.raw = BUF_INIT(PUSH_RAW_MAX)};
}

void push_commands_done(struct push_commands *pc)
{
    for (size_t i = 0; i < pc->count; i++)
        free(pc->commands[i].ref);
    free(pc->commands);
    buf_done(&pc->raw);
    *pc = (struct push_commands){0};
}

/* --- pkt-lines ------------------------------------------------------------------------------ */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The length of a pkt-line, with its head; 0: a flush. */
static int pkt_length(const char *head, size_t *ret_length, struct err *err)
{
    size_t length = 0;
    for (size_t i = 0; i < PKT_HEAD; i++) {
        int digit = hex_value(head[i]);
        if (digit < 0)
            return FAIL(err, E_REQUEST_INVALID, "the push is no list of pkt-lines");
        length = length * 16 + (size_t)digit;
    }
    if (length != 0 && (length <= PKT_HEAD || length > PKT_MAX))
        return FAIL(err, E_REQUEST_INVALID, "the push has a pkt-line of bad length %zu", length);
    *ret_length = length;
    return 0;
}

void pkt_add(struct buf *out, struct str payload)
{
    (void)buf_add_format(out, "%04zx", payload.length + PKT_HEAD);
    (void)buf_add_str(out, payload);
}

/* --- one command ---------------------------------------------------------------------------- */

static bool has_word(struct str words, const char *word)
{
    while (words.length > 0)
        if (str_is(str_cut(&words, ' '), word))
            return true;
    return false;
}

static int take_capabilities(struct push_commands *pc, struct str words, struct err *err)
{
    if (str_has_control(words) || !str_is_utf8(words))
        return FAIL(err, E_REQUEST_INVALID, "the push has bad capabilities");
    pc->report = has_word(words, "report-status") || has_word(words, "report-status-v2");
    pc->side_band = has_word(words, "side-band-64k");
    while (words.length > 0) {
        struct str word = str_cut(&words, ' ');
        if (str_starts(word, "object-format=") && !str_is(word, "object-format=sha1"))
            return FAIL(err, E_REQUEST_INVALID, "only repositories with sha1 ids are taken");
        if (str_starts(word, "push-cert"))
            return FAIL(err, E_REQUEST_INVALID, "signed pushes are not taken");
    }
    return 0;
}

static int take_command(struct push_commands *pc, struct str line, struct err *err)
{
    struct str from = str_cut(&line, ' ');
    struct str to = str_cut(&line, ' ');
    if (!str_is_commit(from) || !str_is_commit(to))
        return FAIL(err, E_REQUEST_INVALID, "the push has a command without two ids");
    if (line.length == 0 || line.length > PUSH_REF_MAX || str_has_control(line))
        return FAIL(err, E_REQUEST_INVALID, "the push has a command without a readable ref");
    if (pc->count >= PUSH_REFS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d refs in one push", PUSH_REFS_MAX);
    if (pc->count % 16 == 0)
        pc->commands = mem_resize(pc->commands, pc->count + 16, sizeof(*pc->commands));
    struct push_command *c = &pc->commands[pc->count++];
    (void)snprintf(c->from, sizeof(c->from), "%.*s", (int)from.length, from.data);
    (void)snprintf(c->to, sizeof(c->to), "%.*s", (int)to.length, to.data);
    c->ref = str_dup(line);
    return 0;
}

static int take_line(struct push_commands *pc, struct str line, struct err *err)
{
    struct str words = line;
    struct str command = str_cut(&words, '\0');
    bool with_words = words.data != NULL;
    struct str *last = with_words ? &words : &command;
    if (last->length > 0 && last->data[last->length - 1] == '\n')
        last->length--;
    if (pc->count == 0 && !with_words && str_starts(command, "shallow ")) {
        struct str id = {command.data + 8, command.length - 8};
        if (!str_is_commit(id))
            return FAIL(err, E_REQUEST_INVALID, "the push has a bad shallow line");
        return 0;
    }
    if (with_words && pc->count > 0)
        return FAIL(err, E_REQUEST_INVALID, "the push names capabilities twice");
    if (with_words && take_capabilities(pc, words, err) < 0)
        return -1;
    return take_command(pc, command, err);
}

/* --- the list ------------------------------------------------------------------------------- */

/* How many bytes are wanted next: the rest of a head, or of a line. */
static int wanted(const struct push_commands *pc, size_t *ret_bytes, struct err *err)
{
    size_t there = pc->raw.length - pc->parsed;
    size_t length = 0;
    if (there < PKT_HEAD) {
        *ret_bytes = PKT_HEAD - there;
        return 0;
    }
    if (pkt_length(pc->raw.data + pc->parsed, &length, err) < 0)
        return -1;
    *ret_bytes = (length ? length : PKT_HEAD) - there;
    return 0;
}

/* Exactly one whole pkt-line lies unparsed, or less. */
static int parse_whole(struct push_commands *pc, struct err *err)
{
    size_t there = pc->raw.length - pc->parsed;
    size_t length = 0;
    if (there < PKT_HEAD)
        return 0;
    const char *line = pc->raw.data + pc->parsed;
    if (pkt_length(line, &length, err) < 0)
        return -1;
    if (length > there)
        return 0;
    pc->parsed += there;
    if (length == 0)
        return PUSH_COMPLETE;
    return take_line(pc, (struct str){line + PKT_HEAD, length - PKT_HEAD}, err);
}

int push_commands_feed(struct push_commands *pc, struct str data, size_t *ret_used, struct err *err)
{
    size_t used = 0;
    int r = 0;
    while (r == 0 && used < data.length) {
        size_t want = 0;
        if (wanted(pc, &want, err) < 0)
            return -1;
        if (want > data.length - used)
            want = data.length - used;
        if (buf_add(&pc->raw, data.data + used, want) < 0)
            return FAIL(err, E_TOO_LARGE, "the command list of the push is too long");
        used += want;
        r = parse_whole(pc, err);
    }
    if (r < 0)
        return -1;
    *ret_used = used;
    return r;
}

static int check_ref(const char *ref, struct err *err)
{
    if (text_starts(ref, "refs/slipway/") || text_is(ref, "refs/slipway"))
        return FAIL(err, E_DENIED, "'%s' is Slipway's own: nobody pushes there", ref);
    for (size_t i = 0; i < 2; i++) {
        const char *prefix = i ? "refs/tags/" : "refs/heads/";
        if (text_starts(ref, prefix) && str_is_branch(str_of(ref + strlen(prefix))))
            return 0;
    }
    return FAIL(err, E_REF_INVALID, "'%s' is neither a branch nor a tag with a valid name", ref);
}

int push_commands_check(const struct push_commands *pc, struct err *err)
{
    struct map seen;
    int result = 0;
    map_init(&seen);
    for (size_t i = 0; result == 0 && i < pc->count; i++) {
        const struct push_command *c = &pc->commands[i];
        result = check_ref(c->ref, err);
        if (result == 0 && map_put(&seen, c->ref, &seen))
            result = FAIL(err, E_REF_INVALID, "'%s' is named twice", c->ref);
        if (result == 0 && text_is(c->from, GIT_ZERO) && text_is(c->to, GIT_ZERO))
            result = FAIL(err, E_REF_INVALID, "'%s' is deleted but was never there", c->ref);
    }
    map_done(&seen);
    return result;
}

json_t *push_commands_json(const struct push_commands *pc)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pc->count; i++) {
        const struct push_command *c = &pc->commands[i];
        bool moves = !text_is(c->from, GIT_ZERO) && !text_is(c->to, GIT_ZERO);
        json_t *row = json_object();
        json_put_text(row, "ref", c->ref);
        json_put_text(row, "old", c->from);
        json_put_text(row, "new", c->to);
        json_put_bool(row, "force", moves && text_starts(c->ref, "refs/tags/"));
        json_push(list, row);
    }
    return list;
}

/* --- refusal -------------------------------------------------------------------------------- */

static void band_add(struct buf *out, char band, struct str text)
{
    while (text.length > 0) {
        size_t n = text.length < SIDE_BAND_MAX ? text.length : SIDE_BAND_MAX;
        (void)buf_add_format(out, "%04zx", n + PKT_HEAD + 1);
        (void)buf_add_char(out, band);
        (void)buf_add(out, text.data, n);
        text.data += n;
        text.length -= n;
    }
}

void push_refusal(const struct push_commands *pc, const char *reason, struct buf *out)
{
    AUTO_BUF report = BUF_INIT(0); /* bounded by the list's own ceilings */
    if (pc->report) {
        pkt_add(&report, STR("unpack ok\n"));
        for (size_t i = 0; i < pc->count; i++) {
            AUTO_FREE char *line = mem_format("ng %s %s\n", pc->commands[i].ref, reason);
            pkt_add(&report, str_of(line));
        }
        (void)buf_add_text(&report, "0000");
    }
    if (!pc->side_band) {
        (void)buf_add_str(out, buf_str(&report));
        return;
    }
    AUTO_FREE char *said = mem_format("slipway: %s\n", reason);
    band_add(out, 2, str_of(said));
    band_add(out, 1, buf_str(&report));
    (void)buf_add_text(out, "0000");
}
