/* Changes: checked against what was accepted before, written to the file, and only then applied.
 *
 * The file is written on the thread pool, one write at a time; what comes in meanwhile rides on the
 * next one. A write that fails takes back everything that is not in the file, and says so to each
 * asker: what we answer "ok" to is always durable. */
#include <errno.h>
#include <stdio.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"

#define STATE_MAX (256u << 20)

void edge_changes_init(struct edge_changes *list)
{
    list->first = NULL;
    list->last = &list->first;
}

void edge_changes_add(struct edge_changes *list, struct edge_change *change)
{
    change->next = NULL;
    *list->last = change;
    list->last = &change->next;
}

void edge_changes_move(struct edge_changes *to, struct edge_changes *from)
{
    if (!from->first)
        return;
    *to->last = from->first;
    to->last = from->last;
    edge_changes_init(from);
}

static void change_answer(const struct edge_change *change, int64_t took_us,
                          const struct err *error)
{
    if (error) {
        ticket_fail(change->ticket, error);
        return;
    }
    json_t *ok = json_object();
    json_put_int(ok, "version", change->app_env->version);
    json_put_int(ok, "us", took_us);
    ticket_ok(change->ticket, ok);
}

void edge_changes_answer(struct edge_changes *list, int64_t took_us, const struct err *error)
{
    struct edge_change *change = list->first;
    edge_changes_init(list);
    while (change) {
        struct edge_change *next = change->next;
        if (!change->answered)
            change_answer(change, took_us, error);
        edge_app_env_unref(change->app_env);
        free(change);
        change = next;
    }
}

/* Writing. */

static void write_start(struct edge *e);

static void write_work(void *context)
{
    struct edge *e = context;
    e->write_failed =
        file_write(e->paths.state, buf_str(&e->write_text), 0600, &e->write_error) < 0;
}

static void write_refused(struct edge *e)
{
    log_error("edge state was not written: refusing the change", F_ERR(&e->write_error));
    edge_table_copy(&e->next, &e->table);
    edge_changes_move(&e->writing, &e->queued);
    edge_changes_answer(&e->writing, 0, &e->write_error);
}

static void write_done(void *context)
{
    struct edge *e = context;
    if (e->ended)
        return;
    FAULT("edge.record.written");
    e->write_busy = false;
    buf_done(&e->write_text);
    if (e->write_failed) {
        write_refused(e);
        return;
    }
    for (struct edge_change *c = e->writing.first; c; c = c->next)
        edge_table_put(&e->table, edge_app_env_ref(c->app_env));
    edge_changes_move(&e->durable, &e->writing);
    if (e->queued.first)
        write_start(e);
    if (edge_self_is_stale(e))
        edge_run_reload(e);
    edge_sync_push(e);
}

static void write_start(struct edge *e)
{
    ASSERT(!e->write_busy && !e->writing.first);
    e->write_busy = true;
    buf_init(&e->write_text, STATE_MAX);
    FAULT("edge.record.write");
    edge_table_print(&e->next, &e->write_text);
    edge_changes_move(&e->writing, &e->queued);
    loop_work(write_work, write_done, e);
}

void edge_record(struct edge *e, struct edge_app_env *app_env, struct ticket *ticket)
{
    AUTO_APP_ENV *given = app_env;
    struct err err = ERR_INIT;
    if (edge_table_check(&e->next, given, &err) < 0) {
        ticket_fail(ticket, &err);
        return;
    }
    const struct edge_app_env *before = edge_table_get(&e->next, given->id);
    struct edge_change *change = mem_alloc(sizeof(*change));
    change->ticket = ticket;
    change->app_env = edge_app_env_ref(given);
    change->renamed = before && strcmp(before->name, given->name) != 0;
    edge_table_put(&e->next, edge_app_env_ref(given));
    edge_changes_add(&e->queued, change);
    if (!e->write_busy)
        write_start(e);
}

/* Reading. */

/* A file that cannot be read at all is put aside: core will declare everything again. */
static int state_put_aside(struct edge *e, const struct err *why, struct err *err)
{
    AUTO_FREE char *aside =
        mem_format("%s.bad-%lld", e->paths.state, (long long)clock_wall_ms(clock_system()));
    log_error("edge state cannot be read: put aside, starting empty", F_STR("file", aside),
              F_ERR(why));
    if (rename(e->paths.state, aside) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", e->paths.state);
    edge_table_done(&e->table);
    return 0;
}

int edge_record_load(struct edge *e, struct err *err)
{
    AUTO_BUF text = BUF_INIT(STATE_MAX);
    struct err why = ERR_INIT;
    if (file_read(e->paths.state, STATE_MAX, &text, &why) < 0) {
        if (why.kind == E_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    if (edge_table_scan(&e->limits, buf_str(&text), &e->table, &why) < 0) {
        if (why.kind == E_SCHEMA_NEWER) {
            *err = why;
            return err_wrap(err, "'%s'", e->paths.state);
        }
        if (state_put_aside(e, &why, err) < 0)
            return -1;
    }
    edge_table_copy(&e->next, &e->table);
    return 0;
}
