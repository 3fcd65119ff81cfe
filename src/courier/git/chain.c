/* Merging onto a result so far, and the quarantine that it happens in. */
#include "courier/git/chain.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

#define RESTART_US 60000000
#define WHO "Slipway <slipway@localhost>"

/* --- ticks ---------------------------------------------------------------------------------- */

static int tick_parse(const json_t *value, struct tick *ret_tick, struct err *err)
{
    static const struct json_field fields[] = {
        {"branch", JSON_FIELD_STRING, true, 1, 200},
        {"tip", JSON_FIELD_STRING, true, 40, 40},
        {"good", JSON_FIELD_STRING, false, 40, 40},
    };
    struct tick t = {0};
    if (!json_is_object(value))
        return FAIL(err, E_FIELD_INVALID, "a tick is no object");
    if (json_check(value, fields, ARRAY_SIZE(fields), err) < 0)
        return -1;
    t.branch = json_text(value, "branch");
    t.tip = json_text(value, "tip");
    t.good = json_text(value, "good");
    if (repo_check_branch(t.branch, err) < 0 || repo_check_commit(t.tip, "the tip", err) < 0 ||
        (t.good && repo_check_commit(t.good, "the last good tip", err) < 0))
        return -1;
    *ret_tick = t;
    return 0;
}

int ticks_parse(const json_t *list, struct tick ret_ticks[TICKS_MAX], size_t *ret_count,
                struct err *err)
{
    *ret_count = json_array_size(list);
    if (*ret_count > TICKS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d branches", TICKS_MAX);
    for (size_t i = 0; i < *ret_count; i++)
        if (tick_parse(json_array_get(list, i), &ret_ticks[i], err) < 0)
            return -1;
    return 0;
}

bool tick_resolves(const struct tick *t, const char *branch)
{
    for (size_t i = 0; i < json_array_size(t->sides); i++)
        if (text_is(json_text(json_array_get(t->sides, i), "branch"), branch))
            return true;
    return false;
}

int ticks_read(const struct ticks_ask *ask, struct tick *ticks, size_t count,
               struct repo_commit *ret_base, struct err *err)
{
    const char *ids[STEPS_MAX + 2] = {ask->base};
    struct repo_commit found[STEPS_MAX + 2];
    size_t absent = 0, wanted = count + 1;
    for (size_t i = 0; i < count; i++)
        ids[i + 1] = ticks[i].tip;
    if (ask->also)
        ids[wanted++] = ask->also;
    int r = repo_commits(ask->dir, ask->objects, ids, wanted, found, &absent, err);
    if (r == REPO_ABSENT && absent <= count)
        return FAIL(err, E_BRANCH_UNKNOWN, "commit '%s' of '%s' does not exist", ids[absent],
                    absent ? ticks[absent - 1].branch : ask->trunk);
    if (r < 0)
        return -1;
    *ret_base = found[0];
    for (size_t i = 0; i < count; i++)
        ticks[i].date = found[i + 1].date;
    return r;
}

/* --- the merger ----------------------------------------------------------------------------- */

int merger_init(struct merger *m, const char *dir, const struct git_store *store, char *quarantine,
                struct err *err)
{
    *m = (struct merger){.dir = dir, .store = store, .quarantine = quarantine};
    if (quarantine)
        return 0;
    m->quarantine = repo_fresh_path(store->scratch, "merge");
    if (mkdir(m->quarantine, 0700) < 0)
        return FAIL_SYS(err, "cannot make '%s'", m->quarantine);
    return 0;
}

/* Removing some hundred small files can wait until the answer is out. */
void merger_done(struct merger *m)
{
    git_process_free(m->process);
    git_process_free(m->reader);
    if (m->quarantine) {
        AUTO_FREE char *away = repo_fresh_path(m->store->trash, "merge");
        (void)rename(m->quarantine, away); /* else a sweep finds it in scratch */
    }
    free(m->quarantine);
    *m = (struct merger){0};
}

static void list_folder(const char *objects, const char *two, struct buf *names)
{
    AUTO_FREE char *path = mem_format("%s/%s", objects, two);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strlen(e->d_name) == 38)
            (void)buf_add_format(names, "%s%s\n", two, e->d_name);
    (void)closedir(d); /* read-only */
}

int merger_keep(const struct merger *m, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF names = BUF_INIT(64u << 20);
    AUTO_BUF out = BUF_INIT(4096);
    for (unsigned i = 0; i < 256; i++) {
        char two[3];
        (void)snprintf(two, sizeof(two), "%02x", i);
        list_folder(m->quarantine, two, &names);
    }
    if (names.failed)
        return FAIL(err, E_REPO_TOO_LARGE, "the integration has too many objects");
    git_call_init(&call, m->dir);
    git_verb(&call, "pack-objects");
    git_arg(&call, "-q");
    git_arg(&call, "--window=0");
    git_arg_format(&call, "%s/objects/pack/pack", m->dir);
    git_quarantine(&call, m->dir, m->quarantine);
    FAULT("merger.keep");
    return git_run(&call, buf_str(&names), &out, err);
}

int merger_ask(struct merger *m, const char *ours, const char *theirs,
               struct merge_answer *ret_answer, struct err *err)
{
    merge_answer_init(ret_answer);
    /* it has a deadline for all that it does: long work takes another one */
    if (m->process && clock_mono_us() - m->started_us > RESTART_US)
        git_process_free(TAKE(m->process));
    if (!m->process) {
        m->started_us = clock_mono_us();
        if (merge_start(m->dir, m->quarantine, &m->process, err) < 0)
            return -1;
    }
    int r = merge_ask(m->process, ours, theirs, ret_answer, err);
    if (r == 0)
        return 0;
    git_process_free(
        TAKE(m->process)); /* what it would say next is no answer to the next question */
    if (r != MERGE_UNRELATED)
        return -1;
    (void)buf_add_text(&ret_answer->text, MERGE_NO_HISTORY);
    return 0; /* not clean */
}

/* --- the chain ------------------------------------------------------------------------------ */

void chain_begin(struct chain *c, const char *trunk, const char *base,
                 const struct repo_commit *commit)
{
    *c = (struct chain){.trunk = trunk, .date = commit->date};
    (void)snprintf(c->tip, GIT_OID, "%s", base);
    memcpy(c->tree, commit->tree, GIT_OID);
}

int chain_commit(struct chain *c, struct merger *m, const char *other, const char *message,
                 struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_format(&text,
                         "tree %s\nparent %s\nparent %s\nauthor " WHO " %lld +0000\ncommitter " WHO
                         " %lld +0000\n\n%s",
                         c->tree, c->tip, other, (long long)c->date, (long long)c->date, message);
    ASSERT(!text.failed);
    return object_write(m->quarantine, "commit", buf_str(&text), c->tip, err);
}

int chain_add(struct chain *c, struct merger *m, const struct tick *t,
              struct merge_answer *ret_answer, struct err *err)
{
    if (merger_ask(m, c->tip, t->tip, ret_answer, err) < 0)
        return -1;
    if (!ret_answer->clean)
        return CHAIN_CONFLICT;
    /* Only a contained branch, or one that changes nothing, leaves the tree as it is. */
    int r = text_is(ret_answer->tree, c->tree)
                ? repo_is_ancestor(m->dir, m->quarantine, t->tip, c->tip, err)
                : REPO_NO_ANCESTOR;
    if (r <= 0)
        return r < 0 ? -1 : CHAIN_CONTAINED;
    memcpy(c->tree, ret_answer->tree, GIT_OID);
    c->date = t->date > c->date ? t->date : c->date;
    AUTO_FREE char *message = mem_format("Merge '%s' into '%s'\n", t->branch, c->trunk);
    return chain_commit(c, m, t->tip, message, err);
}
