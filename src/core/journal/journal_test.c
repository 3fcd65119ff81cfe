/* The journal: what is appended can be listed and verified, and each way to tamper with the rows is
 * named by the first bad one. */
#include "core/journal/journal.h"
#include "core/core_fixture.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

TAP_MAIN()

struct entry_input {
    struct core *core;
    const char *kind;
    const char *subject;
    int64_t number;
};

static int append(void *context, struct err *err)
{
    const struct entry_input *in = context;
    AUTO_JSON *data = json_object();
    json_put_int(data, "n", in->number);
    return journal_append(in->core, "user:wang", in->kind, in->subject, 3, in->number ? data : NULL,
                          err);
}

static void add(struct core *core, const char *subject, int64_t n)
{
    struct err err = ERR_INIT;
    struct entry_input in = {core, "thing.done", subject, n};
    FINE(tick_input(core->tick, "test", append, &in, &err));
}

static struct core *ten_rows(void)
{
    struct core *core = fixture_open();
    for (int64_t n = 1; n <= 10; n++)
        add(core, n == 5 ? NULL : "shop.dev", n == 6 ? 0 : n);
    fixture_durable();
    return core;
}

/* The heads that host would have kept of the rows from..to. */
static json_t *heads_of(struct core *core, int64_t from, int64_t to)
{
    struct err err = ERR_INIT;
    json_t *rows = NULL;
    FINE(store_rows(core->store, &rows, &err,
                    "SELECT seq, hash FROM journal WHERE seq BETWEEN $1 AND $2 ORDER BY seq", "ii",
                    from, to));
    return rows;
}

/* A file as host's is; NULL: none. */
static int heads_file(const json_t *heads)
{
    size_t index;
    json_t *head;
    if (!heads)
        return -1;
    int fd = memfd_create("heads", MFD_CLOEXEC);
    json_array_foreach(heads, index, head)(void)
        dprintf(fd, "%lld %s\n", (long long)json_int(head, "seq", 0), json_text(head, "hash"));
    OK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static int64_t first_bad_of(struct core *core, int heads_fd)
{
    struct err err = ERR_INIT;
    AUTO_JSON *report = NULL;
    FINE(journal_verify(core, heads_fd, &report, &err));
    int64_t bad = json_int(report, "first_bad", 0);
    IS_INT(json_bool(report, "ok", false), bad == 0);
    OK(*json_text_or(report, "text", ""));
    return bad;
}

/* 0: all good */
static int64_t first_bad(struct core *core, const json_t *heads)
{
    AUTO_CLOSE int fd = heads_file(heads);
    return first_bad_of(core, fd);
}

TEST(rows_are_listed_and_verified)
{
    struct err err = ERR_INIT;
    struct core *core = ten_rows();
    AUTO_JSON *rows = NULL, *newest = NULL, *some = NULL, *heads = heads_of(core, 1, 10);
    FINE(journal_list(core, 0, 3, false, NULL, &rows, &err));
    IS_INT(json_array_size(rows), 3);
    const json_t *first = json_array_get(rows, 0);
    IS_INT(json_int(first, "seq", 0), 1);
    IS_STR(json_text(first, "actor"), "user:wang");
    IS_STR(json_text(first, "kind"), "thing.done");
    IS_JSON(json_dict(first, "data"), "{\"n\":1}");
    FINE(journal_list(core, 9, 2, true, NULL, &newest, &err));
    IS_INT(json_int(json_array_get(newest, 0), "seq", 0), 8);
    IS_INT(json_int(json_array_get(newest, 1), "seq", 0), 7);
    FINE(journal_list(core, 0, 100, false, "shop", &some, &err));
    IS_INT(json_array_size(some), 9);
    IS_INT(first_bad(core, heads), 0);
    IS_INT(first_bad(core, NULL), 0);
    fixture_close(core);
}

struct naming {
    struct core *core;
    const char *subject;
};

static int append_subject(void *context, struct err *err)
{
    const struct naming *n = context;
    return journal_append(n->core, "root", "thing.named", n->subject, 0, NULL, err);
}

static int64_t count_of(struct core *core, const char *subject, bool newest)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    FINE(journal_list(core, 0, 100, newest, subject, &rows, &err));
    return (int64_t)json_array_size(rows);
}

TEST(a_subject_is_itself_and_what_lies_below_it)
{
    static const char *const subjects[] = {"shop",      "shop.dev", "shop.店",   "shop2",
                                           "shop-blog", "shop店",   "user:wang", "user:wang2"};
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
        FINE(tick_input(core->tick, "test", append_subject, &(struct naming){core, subjects[i]},
                        &err));
    for (int newest = 0; newest < 2; newest++) {
        IS_INT(count_of(core, "shop", newest), 3);
        IS_INT(count_of(core, "shop.", newest), 2);
        IS_INT(count_of(core, "shop.dev", newest), 1);
        IS_INT(count_of(core, "user:", newest), 2);
        IS_INT(count_of(core, "user:wang", newest), 1);
        IS_INT(count_of(core, "sho", newest), 0);
        IS_INT(count_of(core, "", newest), 8);
        IS_INT(count_of(core, NULL, newest), 8);
    }
    fixture_close(core);
}

TEST(an_empty_journal_is_good)
{
    struct core *core = fixture_open();
    IS_INT(first_bad(core, NULL), 0);
    fixture_close(core);
}

TEST(a_failed_input_leaves_no_row)
{
    struct err err = ERR_INIT;
    struct core *core = ten_rows();
    struct entry_input in = {core, "thing.done", "x", 1};
    fixture_run(core, "CREATE TRIGGER t BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT,'no'); "
                      "END");
    IS_INT(tick_input(core->tick, "test", append, &in, &err), -1);
    fixture_run(core, "DROP TRIGGER t");
    add(core, "shop.dev", 11);
    fixture_durable();
    IS_INT(fixture_count(core, "SELECT max(seq) FROM journal"), 11);
    IS_INT(first_bad(core, NULL), 0);
    fixture_close(core);
}

static const struct {
    const char *what;
    const char *sql;
    int64_t bad;
} tampers[] = {
    {"data", "UPDATE journal SET data='{\"n\":44}' WHERE seq=4", 4},
    {"actor", "UPDATE journal SET actor='user:li' WHERE seq=1", 1},
    {"kind", "UPDATE journal SET kind='thing.undone' WHERE seq=7", 7},
    {"time", "UPDATE journal SET at=at+1 WHERE seq=10", 10},
    {"app-env", "UPDATE journal SET app_env_id=4 WHERE seq=2", 2},
    {"subject", "UPDATE journal SET subject='shop.prod' WHERE seq=3", 3},
    {"null to empty", "UPDATE journal SET subject='' WHERE seq=5", 5},
    {"bytes after NUL", "UPDATE journal SET data=data || char(0) || 'x' WHERE seq=8", 8},
    {"hash", "UPDATE journal SET hash=replace(hash, substr(hash,1,1), 'x') WHERE seq=6", 6},
    {"moved text", "UPDATE journal SET actor='user:wangt', kind='hing.done' WHERE seq=9", 9},
    {"first deleted", "DELETE FROM journal WHERE seq=1", 1},
    {"middle deleted", "DELETE FROM journal WHERE seq=5", 5},
    {"deleted and renumbered",
     "DELETE FROM journal WHERE seq=5; UPDATE journal SET seq=seq-1 WHERE seq>5", 5},
    {"swapped",
     "UPDATE journal SET seq=100 WHERE seq=3; UPDATE journal SET seq=3 WHERE seq=4; "
     "UPDATE journal SET seq=4 WHERE seq=100",
     3},
    {"inserted",
     "UPDATE journal SET seq=seq+100 WHERE seq>6; UPDATE journal SET seq=seq-99 WHERE seq>6; "
     "INSERT INTO journal SELECT 7, at, actor, kind, subject, app_env_id, data, hash FROM journal "
     "WHERE seq=6",
     7},
};

/* B096 */
TEST(every_change_is_named_by_its_first_row)
{
    for (size_t i = 0; i < ARRAY_SIZE(tampers); i++) {
        struct err err = ERR_INIT;
        struct core *core = ten_rows();
        struct str rest = str_of(tampers[i].sql);
        fixture_run(core, "BEGIN");
        while (rest.data) {
            AUTO_FREE char *one = str_dup(str_cut(&rest, ';'));
            FINE(store_run(core->store, &err, one, ""));
        }
        int64_t bad = first_bad(core, NULL);
        if (!IS_INT(bad, tampers[i].bad))
            printf("# tampered: %s\n", tampers[i].what);
        fixture_run(core, "ROLLBACK");
        fixture_close(core);
        FINE(file_remove_tree(tap_dir(), &err));
        FINE(file_make_dirs(tap_dir(), 0700, &err));
    }
}

/* One bad row must not stop core. */
TEST(a_spoilt_head_is_gone_on_from)
{
    struct core *core = ten_rows();
    fixture_run(core, "UPDATE journal SET hash='' WHERE seq=10");
    add(core, "shop.dev", 11);
    fixture_durable();
    IS_INT(first_bad(core, NULL), 10);
    fixture_close(core);
}

TEST(a_cut_tail_shows_against_the_heads)
{
    struct core *core = ten_rows();
    AUTO_JSON *all = heads_of(core, 1, 10), *last = heads_of(core, 10, 10);
    fixture_run(core, "DELETE FROM journal WHERE seq>7");
    IS_INT(first_bad(core, NULL), 0); /* nobody could tell */
    IS_INT(first_bad(core, all), 8);
    IS_INT(first_bad(core, last), 8);
    fixture_close(core);
}

/* A cut tail that has grown again, honestly chained. */
TEST(another_history_shows_against_the_heads)
{
    struct core *core = ten_rows();
    AUTO_JSON *heads = heads_of(core, 8, 10);
    fixture_run(core, "DELETE FROM journal WHERE seq>7");
    for (int64_t n = 0; n < 5; n++)
        add(core, "other", n);
    fixture_durable();
    IS_INT(first_bad(core, NULL), 0);
    IS_INT(first_bad(core, heads), 8);
    fixture_close(core);
}

/* Host missed one head, then the tail was cut and grew by one: the larger head stands first. */
TEST(heads_need_not_grow)
{
    struct core *core = ten_rows();
    AUTO_JSON *heads = heads_of(core, 10, 10);
    fixture_run(core, "DELETE FROM journal WHERE seq>8");
    add(core, "other", 1);
    fixture_durable();
    AUTO_JSON *ninth = heads_of(core, 9, 9);
    json_array_extend(heads, ninth);
    IS_INT(first_bad(core, heads), 10);
    fixture_close(core);
}

/* More of them than are read at once, and lines between that are no heads. */
TEST(old_rows_are_compared_like_new_ones)
{
    struct core *core = fixture_open();
    for (int64_t n = 1; n <= 1500; n++)
        add(core, "shop.dev", n);
    fixture_durable();
    AUTO_JSON *heads = heads_of(core, 1, 1500);
    IS_INT(first_bad(core, heads), 0);
    json_put_text(json_array_get(heads, 2), "hash", json_text(json_array_get(heads, 3), "hash"));
    IS_INT(first_bad(core, heads), 3);
    fixture_close(core);
}

TEST(a_row_with_two_heads_is_named)
{
    struct core *core = ten_rows();
    AUTO_JSON *heads = heads_of(core, 1, 10), *again = heads_of(core, 10, 10);
    json_array_extend(heads, again); /* repeated after a crash */
    IS_INT(first_bad(core, heads), 0);
    json_put_text(json_array_get(again, 0), "hash", json_text(json_array_get(heads, 1), "hash"));
    IS_INT(first_bad(core, heads), 10);
    fixture_close(core);
}

TEST(what_is_no_head_is_skipped)
{
    struct core *core = ten_rows();
    AUTO_JSON *heads = heads_of(core, 1, 10);
    AUTO_CLOSE int fd = heads_file(heads);
    OK(lseek(fd, 0, SEEK_END) > 0);
    (void)dprintf(fd, "11 0123\n\nxx\n12 torn");
    OK(lseek(fd, 0, SEEK_SET) == 0);
    IS_INT(first_bad_of(core, fd), 0);
    fixture_close(core);
}
