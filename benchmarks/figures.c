#include "figures.h"
#include <string.h>

static const char *const names[LOST_KINDS] = {"connect",   "reset", "closed", "timeout",
                                              "malformed", "wrong", "status"};

const char *lost_name(enum lost kind)
{
    return names[kind];
}

void figures_mark(struct figures *f, int64_t now_us)
{
    memset(&f->marked, 0, sizeof f->marked);
    f->marked.since_us = now_us;
}

void figures_begun(struct figures *f)
{
    f->total.begun++;
    f->marked.begun++;
}

/* Slots of about 1.6 %: 64 per power of two, exact below 64 us. */
static int slot_of(int64_t us)
{
    if (us < 64)
        return us < 0 ? 0 : (int)us;
    int power = 63 - __builtin_clzll((unsigned long long)us);
    int slot = (power - 5) * 64 + (int)((us >> (power - 6)) & 63);
    return slot < FIGURES_SLOTS ? slot : FIGURES_SLOTS - 1;
}

static int64_t slot_value(int slot)
{
    if (slot < 64)
        return slot;
    int power = slot / 64 + 5;
    return ((int64_t)1 << power) + ((int64_t)(slot % 64) << (power - 6));
}

static bool label_is(const struct labels *l, int row, const char *name)
{
    return row < l->count && strcmp(l->rows[row].name, name) == 0;
}

/* The row of this name; a new one when there is room, else the last ("others"). */
static struct label *label_of(struct labels *l, const char *name, bool *ret_new)
{
    *ret_new = false;
    if (label_is(l, l->latest, name))
        return &l->rows[l->latest];
    for (int i = 0; i < l->count; i++)
        if (label_is(l, i, name))
            return &l->rows[l->latest = i];
    if (l->count == FIGURES_LABELS)
        return &l->rows[FIGURES_LABELS - 1];
    struct label *row = &l->rows[l->latest = l->count++];
    size_t length = strlen(name);
    length = length < sizeof row->name ? length : sizeof row->name - 1;
    memcpy(row->name, name, length);
    row->name[length] = 0;
    *ret_new = true;
    return row;
}

static bool label_count(struct labels *l, const char *name, const struct answered *a)
{
    bool is_new;
    struct label *row = label_of(l, name[0] ? name : "-", &is_new);
    row->count++;
    if (!row->first_us)
        row->first_us = a->answered_us;
    row->last_us = a->answered_us;
    if (!row->first_sent_us || a->sent_us < row->first_sent_us)
        row->first_sent_us = a->sent_us;
    if (a->sent_us > row->last_sent_us)
        row->last_sent_us = a->sent_us;
    return is_new;
}

static bool window_ok(struct window *w, const struct answered *a)
{
    w->ok++;
    w->posts_ok += a->post;
    w->latency[slot_of(a->latency_us)]++;
    if (a->latency_us > w->latency_max_us)
        w->latency_max_us = a->latency_us;
    (void)label_count(&w->instances, a->instance, a);
    return label_count(&w->releases, a->release, a);
}

bool figures_ok(struct figures *f, const struct answered *a)
{
    (void)window_ok(&f->total, a);
    return window_ok(&f->marked, a);
}

void figures_lost(struct figures *f, enum lost kind, int status)
{
    f->total.lost[kind]++;
    f->marked.lost[kind]++;
    if (kind != LOST_STATUS || status < 0 || status >= FIGURES_STATUSES)
        return;
    f->total.statuses[status]++;
    f->marked.statuses[status]++;
}

uint64_t window_lost(const struct window *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < LOST_KINDS; i++)
        sum += w->lost[i];
    return sum;
}

static double percentile(const struct window *w, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)w->ok), seen = 0;
    for (int i = 0; i < FIGURES_SLOTS; i++) {
        seen += w->latency[i];
        if (seen > wanted)
            return (double)slot_value(i) / 1000;
    }
    return (double)w->latency_max_us / 1000;
}

static void text_print(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\' || *p < 0x20 || *p > 0x7e)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

static void labels_print(const struct labels *l, FILE *out)
{
    fputc('{', out);
    for (int i = 0; i < l->count; i++) {
        const struct label *row = &l->rows[i];
        if (i)
            fputc(',', out);
        text_print(row->name, out);
        fprintf(out,
                ":{\"ok\":%llu,\"first_ms\":%.3f,\"last_ms\":%.3f,\"first_sent_ms\":%.3f,"
                "\"last_sent_ms\":%.3f}",
                (unsigned long long)row->count, (double)row->first_us / 1000,
                (double)row->last_us / 1000, (double)row->first_sent_us / 1000,
                (double)row->last_sent_us / 1000);
    }
    fputc('}', out);
}

static void reasons_print(const struct window *w, FILE *out)
{
    const char *comma = "";
    fputc('{', out);
    for (int i = 0; i < LOST_STATUS; i++) {
        if (!w->lost[i])
            continue;
        fprintf(out, "%s\"%s\":%llu", comma, names[i], (unsigned long long)w->lost[i]);
        comma = ",";
    }
    for (int i = 0; i < FIGURES_STATUSES; i++) {
        if (!w->statuses[i])
            continue;
        fprintf(out, "%s\"status_%d\":%llu", comma, i, (unsigned long long)w->statuses[i]);
        comma = ",";
    }
    fputc('}', out);
}

void window_print(const struct window *w, FILE *out)
{
    fprintf(out, "\"since_ms\":%.3f,\"begun\":%llu,\"ok\":%llu,\"posts_ok\":%llu,\"lost\":%llu",
            (double)w->since_us / 1000, (unsigned long long)w->begun, (unsigned long long)w->ok,
            (unsigned long long)w->posts_ok, (unsigned long long)window_lost(w));
    fputs(",\"reasons\":", out);
    reasons_print(w, out);
    fprintf(out,
            ",\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}",
            percentile(w, 0.5), percentile(w, 0.9), percentile(w, 0.99), percentile(w, 0.999),
            (double)w->latency_max_us / 1000);
    fputs(",\"releases\":", out);
    labels_print(&w->releases, out);
    fputs(",\"instances\":", out);
    labels_print(&w->instances, out);
}
