/* Access with a real store: the default matrix cell by cell, links, tokens, passwords, and what a
 * refusal gives away. */
#include "core/access/access.h"
#include "core/access/access_fixture.h"
#include <sys/resource.h>
#include <unistd.h>
#include "base/file.h"
#include "base/str.h"

#define FINE(call) is_fine((call), &err)
static void is_fine(int result, const struct err *err)
{
    if (result != 0)
        IS_STR(err->text, "");
    IS_INT(result, 0);
}

#define IS_REFUSED(call, kind_)                                                                    \
    do {                                                                                           \
        err = (struct err)ERR_INIT;                                                                \
        IS_INT((call), -1);                                                                        \
        IS_STR(err_name(err.kind), err_name(kind_));                                               \
    } while (0)

/* The first person, admin; leaves a session. */
static void set_up(struct core *core, const char *name, struct person *ret_person)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *link = NULL;
    AUTO_JSON *reply = NULL;
    FINE(access_setup_link(core, NULL, &link, &err));
    FINE(access_link_use(core, link, name, "hash", &reply, &err));
    FINE(access_authenticate(core, str_of(json_text(reply, "token")), ret_person, &err));
}

static void ignore_commit(void *context, const struct err *error)
{
    (void)context, (void)error;
}

/* A person with a session and perhaps one grant. */
static void make_person(struct core *core, const char *name, const char *role, int64_t app_id,
                        int64_t env_id, struct person *ret_person)
{
    struct err err = ERR_INIT;
    struct person root;
    AUTO_JSON *invite = NULL, *reply = NULL;
    person_root(&root);
    FINE(access_person_add(core, &root, name, NULL, 0, 0, &invite, &err));
    FINE(access_link_use(core, json_text(invite, "link"), NULL, "hash", &reply, &err));
    FINE(access_authenticate(core, str_of(json_text(reply, "token")), ret_person, &err));
    if (role)
        FINE(access_grant(core, &root, name, role, app_id, env_id, &err));
}

/* "d" denied, "n" not found, "+" allowed, for each permission from view to admin. */
static const char *rights(struct core *core, const struct person *p, int64_t app_id, int64_t env_id)
{
    static char text[PERMISSION_COUNT];
    size_t length = 0;
    for (int i = PERMISSION_VIEW; i < PERMISSION_COUNT; i++) {
        struct err err = ERR_INIT;
        int result = access_check(core, p, (enum permission)i, app_id, env_id, true, &err);
        text[length++] = result == 0                     ? '+'
                         : err.kind == E_DENIED          ? 'd'
                         : err.kind == E_NOT_FOUND       ? 'n'
                         : err.kind == E_UNAUTHENTICATED ? 'u'
                                                         : '?';
    }
    text[length] = '\0';
    return text;
}

TEST(the_default_matrix)
{
    /* view branch trunk tick deploy rollback secret app admin; dev test pre prod, app, all */
    static const struct {
        const char *role;
        const char *want[6];
    } rows[] = {
        {"viewer", {"+dddddddd", "+dddddddd", "+dddddddd", "+dddddddd", "+dddddddd", "+dddddddd"}},
        {"developer",
         {"++d++++dd", "++d++dddd", "++ddddddd", "++ddddddd", "++d++++dd", "++d++++dd"}},
        {"tester", {"+dddddddd", "+dd+++ddd", "+dddddddd", "+dddddddd", "+dd+++ddd", "+dd+++ddd"}},
        {"ops", {"++++++++d", "++++++++d", "++++++++d", "++++++++d", "++++++++d", "++++++++d"}},
        {"admin", {"+++++++++", "+++++++++", "+++++++++", "+++++++++", "+++++++++", "+++++++++"}},
    };
    struct core *core = fixture_open();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct person p;
        AUTO_FREE char *name = mem_format("p-%s", rows[i].role);
        make_person(core, name, rows[i].role, 0, 0, &p);
        for (int64_t env = ENV_DEV; env <= ENV_PROD; env++)
            IS_STR(rights(core, &p, APP_SHOP, env), rows[i].want[env - 1]);
        IS_STR(rights(core, &p, APP_SHOP, 0), rows[i].want[4]);
        IS_STR(rights(core, &p, 0, 0), rows[i].want[5]);
        IS_INT(p.admin, text_is(rows[i].role, "admin") && false); /* granted after the login */
    }
    fixture_close(core);
}

TEST(a_grant_reaches_its_app_and_env_only)
{
    struct core *core = fixture_open();
    struct person shop, prod;
    make_person(core, "shop", "ops", APP_SHOP, 0, &shop);
    IS_STR(rights(core, &shop, APP_SHOP, ENV_PROD), "++++++++d");
    IS_STR(rights(core, &shop, APP_BLOG, ENV_PROD), "nnnnnnnnn");
    IS_STR(rights(core, &shop, APP_BLOG, 0), "nnnnnnnnn");
    IS_STR(rights(core, &shop, 0, 0), "ddddddddd");
    make_person(core, "prod", "ops", APP_SHOP, ENV_PROD, &prod);
    IS_STR(rights(core, &prod, APP_SHOP, ENV_PROD), "++++++++d");
    IS_STR(rights(core, &prod, APP_SHOP, ENV_DEV), "nnnnnnnnn");
    /* trunk and the app itself reach into every env */
    IS_STR(rights(core, &prod, APP_SHOP, 0), "++d++++dd");
    fixture_close(core);
}

TEST(a_grant_for_one_env_gives_what_the_role_may_do_there)
{
    struct core *core = fixture_open();
    struct person p;
    make_person(core, "dev", "developer", 0, ENV_TEST, &p);
    IS_STR(rights(core, &p, APP_SHOP, ENV_TEST), "++d++dddd");
    IS_STR(rights(core, &p, APP_SHOP, ENV_DEV), "nnnnnnnnn");
    IS_STR(rights(core, &p, APP_SHOP, 0), "++d++dddd");
    fixture_close(core);
}

TEST(grants_add_up_and_can_be_taken_away)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person p, root;
    person_root(&root);
    make_person(core, "wang", "viewer", 0, 0, &p);
    FINE(access_grant(core, &root, "wang", "tester", APP_SHOP, 0, &err));
    FINE(access_grant(core, &root, "wang", "tester", APP_SHOP, 0, &err)); /* again: fine */
    IS_INT(fixture_count(core, "SELECT count(*) FROM journal WHERE kind='grant.added'"), 2);
    IS_STR(rights(core, &p, APP_SHOP, ENV_TEST), "+dd+++ddd");
    IS_STR(rights(core, &p, APP_BLOG, ENV_TEST), "+dddddddd");
    FINE(access_revoke(core, &root, "wang", "tester", APP_SHOP, 0, &err));
    IS_STR(rights(core, &p, APP_SHOP, ENV_TEST), "+dddddddd");
    IS_REFUSED(access_revoke(core, &root, "wang", "tester", APP_SHOP, 0, &err), E_NOT_FOUND);
    IS_REFUSED(access_grant(core, &root, "wang", "boss", 0, 0, &err), E_FIELD_INVALID);
    IS_REFUSED(access_grant(core, &root, "nobody", "viewer", 0, 0, &err), E_NOT_FOUND);
    fixture_close(core);
}

TEST(a_refusal_names_roles_and_right_and_hides_what_is_foreign)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person p, nobody, anonymous;
    make_person(core, "wang", "developer", 0, 0, &p);
    IS_REFUSED(access_check(core, &p, PERMISSION_DEPLOY, APP_SHOP, ENV_PROD, true, &err), E_DENIED);
    IS_STR(err.text, "'wang' lacks the right 'deploy' here: held roles: developer; it takes one "
                     "of: admin, ops");
    make_person(core, "li", NULL, 0, 0, &nobody);
    IS_REFUSED(access_check(core, &nobody, PERMISSION_VIEW, APP_SHOP, ENV_DEV, false, &err),
               E_NOT_FOUND);
    IS_STR(err.text, ACCESS_HIDDEN);
    IS_REFUSED(access_check(core, &nobody, PERMISSION_DEPLOY, 99, 99, true, &err), E_NOT_FOUND);
    IS_STR(err.text, ACCESS_HIDDEN);
    FINE(access_check(core, &nobody, PERMISSION_PERSON, 0, 0, true, &err));
    person_anonymous(&anonymous);
    IS_STR(rights(core, &anonymous, APP_SHOP, ENV_DEV), "uuuuuuuuu");
    FINE(access_check(core, &anonymous, PERMISSION_NONE, 0, 0, true, &err));
    IS_REFUSED(access_check(core, &anonymous, PERMISSION_PERSON, 0, 0, false, &err),
               E_UNAUTHENTICATED);
    fixture_close(core);
}

TEST(root_may_do_everything)
{
    struct core *core = fixture_open();
    struct person root, zero = {0};
    person_root(&root);
    IS_STR(rights(core, &root, APP_SHOP, ENV_PROD), "+++++++++");
    IS_STR(rights(core, &root, 0, 0), "+++++++++");
    OK(access_still_valid(core, &root));
    IS_STR(root.actor, "root");
    IS_STR(rights(core, &zero, APP_SHOP, ENV_PROD), "nnnnnnnnn"); /* a forgotten person is nobody */
    fixture_close(core);
}

/* ---- roles ---- */

TEST(a_role_is_changed_and_those_who_hold_it_feel_it)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person wang, li;
    set_up(core, "wang", &wang);
    make_person(core, "li", "developer", 0, 0, &li);
    IS_REFUSED(access_check(core, &li, PERMISSION_ROLLBACK, APP_SHOP, ENV_TEST, true, &err),
               E_DENIED);
    FINE(access_role_allow(core, &wang, "developer", "test", "rollback", &err));
    FINE(access_role_allow(core, &wang, "developer", "test", "rollback", &err));
    FINE(access_check(core, &li, PERMISSION_ROLLBACK, APP_SHOP, ENV_TEST, true, &err));
    IS_REFUSED(access_check(core, &li, PERMISSION_ROLLBACK, APP_SHOP, ENV_PRE, true, &err),
               E_DENIED);
    FINE(access_role_deny(core, &wang, "developer", "test", "rollback", &err));
    IS_REFUSED(access_role_deny(core, &wang, "developer", "test", "rollback", &err), E_NOT_FOUND);
    IS_REFUSED(access_check(core, &li, PERMISSION_ROLLBACK, APP_SHOP, ENV_TEST, true, &err),
               E_DENIED);
    IS_INT(fixture_count(core, "SELECT count(*) FROM journal WHERE subject='role:developer'"), 2);
    fixture_run_loop();
    fixture_close(core);
}

TEST(roles_are_made_and_given)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person wang, li;
    set_up(core, "wang", &wang);
    make_person(core, "li", NULL, 0, 0, &li);
    IS_REFUSED(access_grant(core, &wang, "li", "reviewer", APP_SHOP, 0, &err), E_FIELD_INVALID);
    OK(strstr(err.text, "admin, developer, ops, tester, viewer"));
    FINE(access_role_allow(core, &wang, "reviewer", "*", "view", &err));
    FINE(access_grant(core, &wang, "li", "reviewer", APP_SHOP, 0, &err));
    FINE(access_check(core, &li, PERMISSION_VIEW, APP_SHOP, ENV_PROD, false, &err));
    FINE(access_role_deny(core, &wang, "reviewer", "*", "view", &err)); /* its last right */
    IS_REFUSED(access_check(core, &li, PERMISSION_VIEW, APP_SHOP, ENV_PROD, false, &err),
               E_NOT_FOUND);
    FINE(access_revoke(core, &wang, "li", "reviewer", APP_SHOP, 0, &err));
    IS_REFUSED(access_role_allow(core, &wang, "A b", "*", "view", &err), E_NAME_INVALID);
    IS_REFUSED(access_role_allow(core, &wang, "reviewer", "*", "person", &err), E_FIELD_INVALID);
    IS_REFUSED(access_role_allow(core, &wang, "reviewer", "*", "all", &err), E_FIELD_INVALID);
    IS_REFUSED(access_role_allow(core, &wang, "reviewer", "stage", "view", &err), E_FIELD_INVALID);
    IS_REFUSED(access_role_allow(core, &wang, "reviewer", "dev", "admin", &err), E_FIELD_INVALID);
    fixture_run_loop();
    fixture_close(core);
}

TEST(somebody_may_always_administer)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person wang, root;
    set_up(core, "wang", &wang);
    person_root(&root);
    FINE(store_begin(core->store, &err));
    FINE(store_savepoint(core->store, &err));
    IS_REFUSED(access_role_deny(core, &wang, "admin", "*", "admin", &err), E_STATE_CONFLICT);
    IS_REFUSED(access_role_deny(core, &root, "admin", "*", "admin", &err), E_NOT_FOUND);
    store_savepoint_end(core->store, false); /* as a turn does with what fails */
    FINE(store_savepoint(core->store, &err));
    IS_REFUSED(access_role_deny(core, &root, "admin", "*", "admin", &err), E_STATE_CONFLICT);
    store_savepoint_end(core->store, false);
    FINE(access_check(core, &wang, PERMISSION_ADMIN, 0, 0, true, &err));
    FINE(access_role_allow(core, &wang, "ops", "*", "admin", &err));
    FINE(access_grant(core, &root, "wang", "ops", 0, 0, &err));
    FINE(access_role_deny(core, &wang, "admin", "*", "admin", &err)); /* another role has it */
    FINE(access_check(core, &wang, PERMISSION_ADMIN, 0, 0, true, &err));
    store_commit(core->store, ignore_commit, NULL);
    fixture_run_loop();
    fixture_close(core);
}

/* ---- tries ---- */

static int64_t tries(struct core *core, const char *name, const char *address)
{
    struct err err = ERR_INIT;
    int64_t count = 0, wait = 0;
    while (count < 1000 && access_attempt(core, name, address, &wait, &err) == 0)
        count++;
    IS_STR(err_name(err.kind), "too_many_attempts");
    OK(wait > 0 && wait <= 30000);
    return count;
}

TEST(a_name_is_tried_a_few_times_from_one_address)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    int64_t wait = 0;
    access_attempts_forget();
    IS_INT(tries(core, "wang", "10.0.0.9"), 10);
    IS_INT(tries(core, "wang", "10.0.0.7"), 10); /* elsewhere wang is not locked out */
    fixture_now += 30000;
    IS_INT(tries(core, "wang", "10.0.0.9"), 1);
    fixture_now += 29999;
    IS_REFUSED(access_attempt(core, "wang", "10.0.0.9", &wait, &err), E_TOO_MANY_ATTEMPTS);
    IS_INT(wait, 1);
    fixture_now += 3600000;
    for (int i = 0; i < 100; i++) { /* who knows the password is never stopped */
        FINE(access_attempt(core, "wang", "10.0.0.9", &wait, &err));
        access_attempt_good(core, "wang", "10.0.0.9");
    }
    IS_INT(tries(core, "wang", "10.0.0.9"), 10);
    fixture_close(core);
}

TEST(an_address_tries_few_names_and_fills_no_table)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    int64_t wait = 0, count = 0;
    access_attempts_forget();
    IS_INT(tries(core, "li", "10.0.0.8"), 10);
    for (int i = 0; i < 5000; i++) {
        AUTO_FREE char *name = mem_format("n%d", i);
        count += access_attempt(core, name, "2001:db8::1", &wait, &err) == 0;
    }
    IS_INT(count, 60);
    /* the same machine under another address of its network */
    IS_REFUSED(access_attempt(core, "other", "2001:db8::ffff:2", &wait, &err), E_TOO_MANY_ATTEMPTS);
    for (int i = 0; i < 5000; i++) { /* many machines: the table is full, the worst stay known */
        AUTO_FREE char *address = mem_format("10.1.%d.%d", i / 250, i % 250);
        FINE(access_attempt(core, "wang", address, &wait, &err));
    }
    IS_REFUSED(access_attempt(core, "li", "10.0.0.8", &wait, &err), E_TOO_MANY_ATTEMPTS);
    IS_REFUSED(access_attempt(core, "n", "2001:db8::1", &wait, &err), E_TOO_MANY_ATTEMPTS);
    access_attempts_forget();
    fixture_close(core);
}

/* ---- links ---- */

/* Core was started again: what `up` printed is still good, until it expires. */
TEST(the_first_link_outlives_a_restart)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    AUTO_FREE char *first = NULL, *again = NULL, *other = NULL, *late = NULL;
    AUTO_JSON *reply = NULL;
    FINE(access_setup_link(core, NULL, &first, &err));
    FINE(access_setup_link(core, first, &again, &err));
    IS_STR(again, first);
    FINE(access_setup_link(core, "swl_nothing", &other, &err));
    OK(!text_is(other, first));
    fixture_now += (int64_t)8 * 24 * 3600 * 1000;
    FINE(access_setup_link(core, other, &late, &err));
    OK(!text_is(late, other));
    FINE(access_link_use(core, late, "wang", "h", &reply, &err));
    fixture_close(core);
}

TEST(signing_out_is_in_the_journal)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, ci, root;
    AUTO_JSON *token = NULL;
    set_up(core, "wang", &by);
    person_root(&root);
    FINE(access_token_new(core, &by, "ci", 7, false, 0, &token, &err));
    FINE(access_authenticate(core, str_of(json_text(token, "token")), &ci, &err));
    FINE(access_sign_out(core, &ci, &err));
    FINE(access_sign_out(core, &ci, &err)); /* twice is once */
    FINE(access_sign_out(core, &by, &err));
    FINE(access_sign_out(core, &root, &err));
    OK(!access_still_valid(core, &ci) && !access_still_valid(core, &by));
    IS_INT(fixture_count(core, "SELECT count(*) FROM journal WHERE kind='token.ended'"), 1);
    IS_INT(fixture_count(core, "SELECT count(*) FROM journal WHERE kind='session.ended'"), 1);
    fixture_run_loop();
    fixture_close(core);
}

TEST(set_up_works_once)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    AUTO_FREE char *first = NULL, *second = NULL, *third = NULL;
    AUTO_JSON *reply = NULL;
    FINE(access_setup_link(core, NULL, &first, &err));
    FINE(access_setup_link(core, NULL, &second, &err));
    IS_REFUSED(access_link_use(core, first, "wang", "h", &reply, &err), E_LINK_USED);
    IS_REFUSED(access_link_use(core, second, NULL, "h", &reply, &err), E_NAME_INVALID);
    FINE(access_link_check(core, second, &err));
    FINE(access_link_use(core, second, "wang", "h", &reply, &err));
    IS_STR(json_text(reply, "user"), "wang");
    IS_REFUSED(access_link_use(core, second, "li", "h", &reply, &err), E_SETUP_DONE);
    IS_REFUSED(access_link_check(core, second, &err), E_SETUP_DONE);
    FINE(access_setup_link(core, NULL, &third, &err));
    OK(third == NULL);
    struct person p;
    FINE(access_authenticate(core, str_of(json_text(reply, "token")), &p, &err));
    OK(p.admin);
    IS_STR(p.actor, "user:wang");
    IS_STR(rights(core, &p, APP_SHOP, ENV_PROD), "+++++++++");
    fixture_close(core);
}

TEST(bad_links_all_get_the_same_answer)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root, p;
    AUTO_JSON *invite = NULL, *reply = NULL;
    char text[ERR_TEXT_MAX];
    person_root(&root);
    set_up(core, "admin1", &p);
    FINE(access_person_add(core, &root, "li", "viewer", 0, 0, &invite, &err));
    const char *link = json_text(invite, "link");
    IS_REFUSED(access_link_use(core, "", NULL, "h", &reply, &err), E_LINK_USED);
    memcpy(text, err.text, sizeof(text));
    IS_REFUSED(access_link_use(core, link, "zhao", "h", &reply, &err), E_DENIED);
    FINE(access_link_use(core, link, "li", "h", &reply, &err));
    IS_REFUSED(access_link_use(core, link, "li", "h", &reply, &err), E_LINK_USED);
    IS_STR(err.text, text);
    AUTO_JSON *late = NULL, *unused = NULL;
    FINE(access_person_reset(core, &root, "li", &late, &err));
    fixture_now += (int64_t)7 * 24 * 3600 * 1000;
    IS_REFUSED(access_link_use(core, json_text(late, "link"), NULL, "h", &unused, &err),
               E_LINK_USED);
    IS_STR(err.text, text);
    fixture_close(core);
}

TEST(a_reset_ends_sessions_and_older_links)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root, p;
    AUTO_JSON *first = NULL, *second = NULL, *reply = NULL, *unused = NULL;
    person_root(&root);
    make_person(core, "wang", "viewer", 0, 0, &p);
    FINE(access_person_reset(core, &root, "wang", &first, &err));
    FINE(access_person_reset(core, &root, "wang", &second, &err));
    OK(access_still_valid(core, &p));
    IS_REFUSED(access_link_use(core, json_text(first, "link"), NULL, "h", &unused, &err),
               E_LINK_USED);
    FINE(access_link_use(core, json_text(second, "link"), NULL, "new", &reply, &err));
    OK(!access_still_valid(core, &p));
    IS_INT(fixture_count(core, "SELECT count(*) FROM person WHERE password='new'"), 1);
    IS_REFUSED(access_person_reset(core, &root, "nobody", &unused, &err), E_NOT_FOUND);
    fixture_close(core);
}

TEST(names_of_people_are_checked)
{
    static const char *const bad[] = {"",
                                      "A",
                                      "a b",
                                      "a\nb",
                                      "../x",
                                      "a;reboot",
                                      "root",
                                      "anonymous",
                                      "core",
                                      "-a",
                                      "a-",
                                      "1a",
                                      "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddE"};
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root;
    AUTO_JSON *reply = NULL, *again = NULL;
    person_root(&root);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        IS_REFUSED(access_person_add(core, &root, bad[i], NULL, 0, 0, &reply, &err),
                   E_NAME_INVALID);
    FINE(access_person_add(core, &root, "wang", NULL, 0, 0, &reply, &err));
    IS_REFUSED(access_person_add(core, &root, "wang", NULL, 0, 0, &again, &err), E_EXISTS);
    IS_REFUSED(access_person_add(core, &root, "li", "boss", 0, 0, &again, &err), E_FIELD_INVALID);
    fixture_close(core);
}

/* ---- people ---- */

struct removal {
    struct core *core;
    struct person *by;
    const char *name;
};

static int run_removal(void *context, struct err *err)
{
    const struct removal *r = context;
    return access_person_remove(r->core, r->by, r->name, err);
}

TEST(the_last_admin_stays)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person wang, root;
    set_up(core, "wang", &wang);
    struct removal r = {core, &wang, "wang"};
    IS_REFUSED(tick_input(core->tick, "test", run_removal, &r, &err), E_STATE_CONFLICT);
    IS_REFUSED(access_revoke(core, &wang, "wang", "admin", 0, 0, &err), E_STATE_CONFLICT);
    OK(access_still_valid(core, &wang));
    person_root(&root);
    r.by = &root;
    FINE(tick_input(core->tick, "test", run_removal, &r, &err));
    OK(!access_still_valid(core, &wang));
    IS_INT(fixture_count(core, "SELECT count(*) FROM person"), 0);
    fixture_close(core);
}

TEST(who_is_removed_leaves_nothing_behind)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root, wang, again;
    person_root(&root);
    make_person(core, "wang", "ops", 0, 0, &wang);
    FINE(access_person_remove(core, &root, "wang", &err));
    IS_REFUSED(access_person_remove(core, &root, "wang", &err), E_NOT_FOUND);
    make_person(core, "wang", NULL, 0, 0, &again);
    OK(!access_still_valid(core, &wang));
    IS_STR(rights(core, &again, APP_SHOP, ENV_DEV), "nnnnnnnnn");
    fixture_close(core);
}

TEST(lists_show_grants_and_no_secret)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person root, p;
    AUTO_JSON *invite = NULL, *people = NULL, *matrix = NULL;
    person_root(&root);
    make_person(core, "wang", "tester", APP_SHOP, ENV_TEST, &p);
    FINE(access_person_add(core, &root, "li", "viewer", 0, 0, &invite, &err));
    FINE(access_person_list(core, &people, &err));
    AUTO_FREE char *text = json_print(people);
    IS_STR(text, "[{\"name\":\"li\",\"created_at\":1700000000000,\"invited\":true,\"grants\":[{"
                 "\"role\":\"viewer\",\"app\":null,\"env\":null}]},{\"name\":\"wang\","
                 "\"created_at\":1700000000000,\"invited\":false,\"grants\":[{\"role\":\"tester\","
                 "\"app\":\"shop\",\"env\":\"test\"}]}]");
    FINE(access_matrix(core, &matrix, &err));
    AUTO_FREE char *tester = json_print(json_dict(json_dict(matrix, "roles"), "tester"));
    IS_STR(tester, "{\"*\":[\"view\"],\"test\":[\"deploy\",\"rollback\",\"tick\"]}");
    AUTO_FREE char *envs = json_print(json_list(matrix, "envs"));
    IS_STR(envs, "[\"dev\",\"test\",\"pre\",\"prod\"]");
    IS_INT(json_array_size(json_list(matrix, "grants")), 2);
    IS_INT(json_array_size(json_list(matrix, "permissions")), 9);
    fixture_close(core);
}

TEST(rights_are_listed)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person p, anonymous;
    AUTO_JSON *names = NULL, *none = NULL;
    make_person(core, "wang", "tester", 0, 0, &p);
    FINE(access_rights(core, &p, APP_SHOP, ENV_TEST, &names, &err));
    AUTO_FREE char *text = json_print(names);
    IS_STR(text, "[\"view\",\"tick\",\"deploy\",\"rollback\"]");
    person_anonymous(&anonymous);
    FINE(access_rights(core, &anonymous, APP_SHOP, ENV_TEST, &none, &err));
    IS_INT(json_array_size(none), 0);
    fixture_close(core);
}

/* ---- tokens ---- */

TEST(bad_tokens_all_get_the_same_answer)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, p;
    AUTO_JSON *reply = NULL;
    set_up(core, "wang", &by);
    FINE(access_token_new(core, &by, "ci", 1, false, 0, &reply, &err));
    AUTO_FREE char *token = mem_strdup(json_text(reply, "token"));
    IS_INT(strlen(token), 43);
    FINE(access_authenticate(core, str_of(token), &p, &err));
    IS_STR(p.actor, "token:wang/ci");
    AUTO_FREE char *large = mem_alloc((1 << 20) + 1);
    memset(large, 'a', 1 << 20);
    const char *bad[] = {"",
                         "nothing",
                         "sw_",
                         "sw_0000000000000000000000000000000000000000",
                         "eyJhbGciOiJub25lIn0.e30.",
                         large};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        IS_REFUSED(access_authenticate(core, str_of(bad[i]), &p, &err), E_UNAUTHENTICATED);
        IS_STR(err.text, "the token is not valid: run 'slipway login'");
    }
    token[42] = token[42] == 'a' ? 'b' : 'a';
    IS_REFUSED(access_authenticate(core, str_of(token), &p, &err), E_UNAUTHENTICATED);
    IS_INT(fixture_count(core, "SELECT count(*) FROM token WHERE hash LIKE 'sw_%'"), 0);
    fixture_close(core);
}

TEST(a_token_ends_to_the_second)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, p;
    AUTO_JSON *reply = NULL;
    set_up(core, "wang", &by);
    FINE(access_token_new(core, &by, "ci", 1, false, 0, &reply, &err));
    struct str token = str_of(json_text(reply, "token"));
    int64_t start = fixture_now;
    IS_INT(json_int(reply, "expires", 0), start + 24 * 3600 * 1000);
    fixture_now = start + 24 * 3600 * 1000 - 1;
    FINE(access_authenticate(core, token, &p, &err));
    OK(access_still_valid(core, &p));
    fixture_now++;
    IS_REFUSED(access_authenticate(core, token, &p, &err), E_UNAUTHENTICATED);
    OK(!access_still_valid(core, &p));
    fixture_now = start + (int64_t)30 * 24 * 3600 * 1000;
    OK(!access_still_valid(core, &by)); /* a session: 30 days */
    fixture_run_loop();
    fixture_close(core);
}

TEST(a_narrow_token_stays_narrow)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, reader, shop;
    AUTO_JSON *read = NULL, *narrow = NULL, *more = NULL;
    set_up(core, "wang", &by);
    FINE(access_token_new(core, &by, "read", 0, true, 0, &read, &err));
    FINE(access_token_new(core, &by, "shop", 0, false, APP_SHOP, &narrow, &err));
    OK(json_is_null(json_object_get(read, "expires")));
    FINE(access_authenticate(core, str_of(json_text(read, "token")), &reader, &err));
    IS_STR(rights(core, &reader, APP_SHOP, ENV_PROD), "ddddddddd");
    FINE(access_check(core, &reader, PERMISSION_VIEW, APP_SHOP, ENV_PROD, false, &err));
    IS_REFUSED(access_check(core, &reader, PERMISSION_PERSON, 0, 0, true, &err), E_DENIED);
    FINE(access_authenticate(core, str_of(json_text(narrow, "token")), &shop, &err));
    IS_STR(rights(core, &shop, APP_SHOP, ENV_PROD), "+++++++++");
    IS_STR(rights(core, &shop, APP_BLOG, ENV_PROD), "nnnnnnnnn");
    IS_STR(rights(core, &shop, 0, 0), "ddddddddd");
    OK(!shop.admin);
    IS_REFUSED(access_check(core, &shop, PERMISSION_PERSON, 0, 0, true, &err), E_DENIED);
    FINE(access_check(core, &shop, PERMISSION_PERSON, 0, 0, false, &err));
    IS_REFUSED(access_token_new(core, &reader, "x", 0, false, 0, &more, &err), E_DENIED);
    IS_REFUSED(access_token_new(core, &shop, "x", 0, false, 0, &more, &err), E_DENIED);
    fixture_run_loop();
    fixture_close(core);
}

static int64_t made_by(struct core *core, const struct person *by, const char *name, int64_t days)
{
    struct err err = ERR_INIT;
    AUTO_JSON *reply = NULL;
    FINE(access_token_new(core, by, name, days, false, 0, &reply, &err));
    return json_int(reply, "expires", 0);
}

TEST(a_token_that_ends_makes_none_that_outlives_it)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, ci, ever;
    AUTO_JSON *week = NULL, *endless = NULL;
    set_up(core, "wang", &by);
    FINE(access_token_new(core, &by, "week", 7, false, 0, &week, &err));
    FINE(access_token_new(core, &by, "endless", 0, false, 0, &endless, &err));
    int64_t end = json_int(week, "expires", 0);
    FINE(access_authenticate(core, str_of(json_text(week, "token")), &ci, &err));
    FINE(access_authenticate(core, str_of(json_text(endless, "token")), &ever, &err));
    IS_INT(made_by(core, &ci, "never", 0), end);
    IS_INT(made_by(core, &ci, "longer", 8), end);
    OK(made_by(core, &ci, "shorter", 1) < end);
    IS_INT(made_by(core, &ever, "free", 0), 0);
    OK(made_by(core, &by, "year", 365) > end); /* a session's end is no limit: a person is there */
    fixture_run_loop();
    fixture_close(core);
}

TEST(tokens_are_made_listed_and_revoked)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, li, root;
    AUTO_JSON *reply = NULL, *again = NULL, *rows = NULL, *all = NULL;
    person_root(&root);
    set_up(core, "wang", &by);
    make_person(core, "li", NULL, 0, 0, &li);
    FINE(access_token_new(core, &by, "ci", 90, true, APP_SHOP, &reply, &err));
    IS_REFUSED(access_token_new(core, &by, "ci", 0, false, 0, &again, &err), E_EXISTS);
    IS_REFUSED(access_token_new(core, &by, "session-x", 0, false, 0, &again, &err), E_NAME_INVALID);
    IS_REFUSED(access_token_new(core, &by, "c\ni", 0, false, 0, &again, &err), E_NAME_INVALID);
    IS_REFUSED(access_token_new(core, &by, "x", -1, false, 0, &again, &err), E_OUT_OF_RANGE);
    IS_REFUSED(access_token_new(core, &by, "x", 3651, false, 0, &again, &err), E_OUT_OF_RANGE);
    IS_REFUSED(access_token_new(core, &root, "x", 0, false, 0, &again, &err), E_STATE_CONFLICT);
    IS_REFUSED(access_token_new(core, &li, "x", 0, false, APP_SHOP, &again, &err), E_NOT_FOUND);
    FINE(access_token_list(core, &by, &rows, &err));
    IS_INT(json_array_size(rows), 2);
    AUTO_FREE char *text = json_print(json_array_get(rows, 0));
    IS_STR(text, "{\"user\":\"wang\",\"name\":\"ci\",\"kind\":\"api\",\"read_only\":true,\"app\":"
                 "\"shop\",\"created_at\":1700000000000,\"expires_at\":1707776000000,\"used_at\":"
                 "null}");
    FINE(access_token_list(core, &root, &all, &err));
    IS_INT(json_array_size(all), 3);
    IS_REFUSED(access_token_revoke(core, &li, "wang/ci", &err), E_NOT_FOUND);
    IS_REFUSED(access_token_revoke(core, &li, "ci", &err), E_NOT_FOUND);
    FINE(access_token_revoke(core, &root, "wang/ci", &err));
    IS_REFUSED(access_token_revoke(core, &by, "ci", &err), E_NOT_FOUND);
    fixture_run_loop();
    fixture_close(core);
}

TEST(sessions_and_tokens_have_limits)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by;
    set_up(core, "wang", &by);
    for (int i = 0; i < 60; i++) {
        AUTO_JSON *reply = NULL;
        fixture_now++;
        FINE(access_session_new(core, by.id, &reply, &err));
    }
    IS_INT(fixture_count(core, "SELECT count(*) FROM token"), 50);
    OK(!access_still_valid(core, &by)); /* the oldest went */
    for (int i = 0; i < 100; i++) {
        AUTO_JSON *reply = NULL;
        AUTO_FREE char *name = mem_format("t%d", i);
        FINE(access_token_new(core, &by, name, 0, false, 0, &reply, &err));
    }
    AUTO_JSON *more = NULL;
    IS_REFUSED(access_token_new(core, &by, "one", 0, false, 0, &more, &err), E_TOO_MANY);
    IS_REFUSED(access_session_new(core, 12345, &more, &err), E_UNAUTHENTICATED);
    fixture_run_loop();
    fixture_close(core);
}

TEST(the_last_use_is_noted_outside_the_request_once_a_minute)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, p;
    AUTO_JSON *reply = NULL;
    set_up(core, "wang", &by);
    FINE(access_token_new(core, &by, "ci", 0, false, 0, &reply, &err));
    struct str token = str_of(json_text(reply, "token"));
    int64_t start = fixture_now;
    FINE(access_authenticate(core, token, &p, &err));
    IS_INT(fixture_count(core, "SELECT max(used_at) FROM token"), 0);
    fixture_run_loop();
    IS_INT(fixture_count(core, "SELECT max(used_at) FROM token"), start);
    fixture_now = start + 60000;
    FINE(access_authenticate(core, token, &p, &err));
    fixture_run_loop();
    IS_INT(fixture_count(core, "SELECT max(used_at) FROM token"), start);
    fixture_now = start + 60001;
    FINE(access_authenticate(core, token, &p, &err));
    fixture_run_loop();
    IS_INT(fixture_count(core, "SELECT max(used_at) FROM token"), start + 60001);
    fixture_close(core);
}

TEST(an_app_that_is_gone_takes_its_grants_and_tokens)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    struct person by, li, p;
    AUTO_JSON *reply = NULL;
    set_up(core, "wang", &by);
    make_person(core, "li", "ops", APP_SHOP, 0, &li);
    FINE(access_token_new(core, &by, "ci", 0, false, APP_SHOP, &reply, &err));
    FINE(access_forget_app(core, APP_SHOP, &err));
    IS_STR(rights(core, &li, APP_SHOP, ENV_DEV), "nnnnnnnnn");
    IS_REFUSED(access_authenticate(core, str_of(json_text(reply, "token")), &p, &err),
               E_UNAUTHENTICATED);
    fixture_run_loop();
    fixture_close(core);
}

/* ---- passwords ---- */

struct password_result {
    int calls;
    char hash[200];
    enum err_kind error;
    bool good;
    int64_t person_id;
};

static void on_hashed(void *context, const char *hash, const struct err *error)
{
    struct password_result *r = context;
    r->calls++;
    (void)snprintf(r->hash, sizeof(r->hash), "%s", hash ? hash : "");
    r->error = error ? error->kind : E_OK;
}

static void on_verified(void *context, int64_t person_id, const struct err *error)
{
    struct password_result *r = context;
    r->calls++;
    r->good = person_id != 0;
    r->person_id = person_id;
    if (error)
        r->error = error->kind;
}

static struct password_result hash_of(const char *text)
{
    struct password_result r = {0};
    AUTO_SECRET password = {0};
    secret_set(&password, text, strlen(text));
    access_hash_password(&password, on_hashed, &r);
    IS_INT(r.calls, 0); /* never at once */
    fixture_run_loop();
    IS_INT(r.calls, 1);
    return r;
}

static struct password_result verify(struct core *core, const char *name, const char *text)
{
    struct password_result r = {0};
    AUTO_SECRET password = {0};
    secret_set(&password, text, strlen(text));
    access_verify_password(core, name, &password, on_verified, &r);
    IS_INT(r.calls, 0);
    fixture_run_loop();
    IS_INT(r.calls, 1);
    return r;
}

TEST(passwords_are_hashed_and_verified)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    AUTO_FREE char *link = NULL, *cut = mem_alloc(2001), *most = mem_alloc(1025);
    AUTO_JSON *reply = NULL, *invite = NULL;
    struct person root;
    person_root(&root);
    memset(cut, 'a', 2000);
    memset(most, 'a', 1024);
    struct password_result hash = hash_of(most);
    OK(text_starts(hash.hash, "$argon2id$v=19$m=65536,t=2,p=1$"));
    FINE(access_setup_link(core, NULL, &link, &err));
    FINE(access_link_use(core, link, "wang", hash.hash, &reply, &err));
    struct password_result good = verify(core, "wang", most);
    OK(good.good);
    OK(good.person_id != 0);
    OK(!verify(core, "wang", cut).good); /* its first 1024 bytes are right */
    OK(!verify(core, "wang", "wrong").good);
    OK(!verify(core, "wang", "").good);
    OK(!verify(core, "nobody", most).good);
    OK(!verify(core, NULL, most).good);
    FINE(access_person_add(core, &root, "li", NULL, 0, 0, &invite, &err));
    OK(!verify(core, "li", most).good); /* invited, no password yet */
    fixture_close(core);
}

TEST(short_and_long_passwords_are_refused)
{
    struct core *core = fixture_open();
    AUTO_FREE char *large = mem_alloc(1026);
    memset(large, 'a', 1025);
    IS_INT(hash_of("1234567").error, E_VALUE_INVALID);
    IS_INT(hash_of(large).error, E_VALUE_INVALID);
    IS_INT(hash_of("12345678").error, E_OK);
    fixture_close(core);
}

TEST(a_name_that_nobody_has_takes_as_long)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    AUTO_FREE char *link = NULL;
    AUTO_JSON *reply = NULL;
    int64_t known = INT64_MAX, unknown = INT64_MAX;
    struct password_result hash = hash_of("a good password");
    FINE(access_setup_link(core, NULL, &link, &err));
    FINE(access_link_use(core, link, "wang", hash.hash, &reply, &err));
    for (int i = 0; i < 5; i++) {
        int64_t start = clock_mono_us();
        (void)verify(core, "wang", "a wrong password");
        int64_t middle = clock_mono_us();
        (void)verify(core, "nobody", "a wrong password");
        int64_t end = clock_mono_us();
        known = middle - start < known ? middle - start : known;
        unknown = end - middle < unknown ? end - middle : unknown;
    }
    OK(unknown * 2 > known && known * 2 > unknown); /* the best of five, on a busy machine */
    fixture_close(core);
}

/* Pages of address space that we have now: what RLIMIT_AS counts. */
static rlim_t address_space(void)
{
    struct err err = ERR_INIT;
    AUTO_BUF content = BUF_INIT(0);
    int64_t pages = 0;
    FINE(file_read("/proc/self/statm", 200, &content, &err));
    struct str rest = buf_str(&content);
    FINE(str_to_int(str_cut(&rest, ' '), 1, INT64_MAX, "pages", &pages, &err));
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* argon2 wants 64 MiB; who cannot have them has no verdict, least of all "wrong". */
TEST(without_memory_no_password_is_wrong)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    AUTO_FREE char *link = NULL;
    AUTO_JSON *reply = NULL;
    struct rlimit before, little;
    struct password_result hash = hash_of("a good password");
    FINE(access_setup_link(core, NULL, &link, &err));
    FINE(access_link_use(core, link, "wang", hash.hash, &reply, &err));
    OK(verify(core, "wang", "a good password").good); /* the pool's threads have their stacks */
    OK(getrlimit(RLIMIT_AS, &before) == 0);
    little = before;
    little.rlim_cur = address_space() + ((rlim_t)32 << 20);
    OK(setrlimit(RLIMIT_AS, &little) == 0);
    struct password_result good = verify(core, "wang", "a good password");
    struct password_result wrong = verify(core, "wang", "a wrong password");
    OK(setrlimit(RLIMIT_AS, &before) == 0);
    IS_INT(good.error, E_UNAVAILABLE);
    IS_INT(wrong.error, E_UNAVAILABLE);
    IS_INT(verify(core, "wang", "a wrong password").error, E_OK);
    OK(verify(core, "wang", "a good password").good);
    fixture_close(core);
}

TEST(too_many_passwords_at_once_are_refused)
{
    struct core *core = fixture_open();
    struct password_result r = {0};
    AUTO_SECRET password = {0};
    struct password_result refused = {0};
    secret_set(&password, "a good password", 15);
    for (int i = 0; i < 102; i++) /* 2 run, 100 wait */
        access_verify_password(core, "nobody", &password, on_verified, &r);
    IS_INT(r.error, E_OK);
    access_verify_password(core, "nobody", &password, on_verified, &refused);
    access_hash_password(&password, on_hashed, &refused);
    fixture_run_loop();
    IS_INT(r.calls, 102);
    IS_INT(r.error, E_OK);
    IS_INT(refused.calls, 2);
    IS_INT(refused.error, E_TOO_MANY);
    fixture_close(core);
}

TAP_MAIN()
