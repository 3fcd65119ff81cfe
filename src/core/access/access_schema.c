/* Tables of access, and who may do what by default. The matrix is data: it can be changed without a
 * release of Slipway. dev belongs to developers, test to developers and testers, the rest to
 * operations; nobody but operations pushes trunk; everybody with a role sees everything but
 * secrets.
 *
 * Token ids are random, so that an id is never given out twice: whoever still holds the id of a
 * token that is gone cannot meet another person's token under it. */
#include "core/access/access.h"

#define RIGHT(role, env, permission) "('" role "','" env "','" permission "')"
#define DEPLOYS(role, env)                                                                         \
    RIGHT(role, env, "tick") "," RIGHT(role, env, "deploy") "," RIGHT(role, env, "rollback")
#define OPERATES(role)                                                                             \
    RIGHT(role, "*", "view")                                                                       \
    "," RIGHT(role, "*", "branch") "," RIGHT(role, "*", "trunk") "," DEPLOYS(role, "*") "," RIGHT( \
        role, "*", "secret") "," RIGHT(role, "*", "app")

const char access_schema[] =
    "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT,"
    " created_at BIGINT NOT NULL);"
    "CREATE TABLE link(hash TEXT PRIMARY KEY, kind TEXT NOT NULL, person_id BIGINT NOT NULL,"
    " created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT);"
    "CREATE TABLE token(id BIGINT PRIMARY KEY, hash TEXT NOT NULL UNIQUE,"
    " person_id BIGINT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " read_only BIGINT NOT NULL, app_id BIGINT NOT NULL, created_at BIGINT NOT NULL,"
    " expires_at BIGINT, used_at BIGINT NOT NULL DEFAULT 0, UNIQUE(person_id, name));"
    "CREATE TABLE person_grant(person_id BIGINT NOT NULL, role TEXT NOT NULL,"
    " app_id BIGINT NOT NULL, env_id BIGINT NOT NULL, granted_by TEXT NOT NULL,"
    " granted_at BIGINT NOT NULL, PRIMARY KEY(person_id, role, app_id, env_id));"
    "CREATE TABLE role_right(role TEXT NOT NULL, env TEXT NOT NULL, permission TEXT NOT NULL,"
    " PRIMARY KEY(role, env, permission));"
    "INSERT INTO role_right(role, env, permission) VALUES" /* viewer */
    RIGHT("viewer", "*", "view") ","                       /* developer */
    RIGHT("developer", "*", "view") "," RIGHT("developer", "*", "branch") "," DEPLOYS(
        "developer", "dev") "," RIGHT("developer", "dev", "secret") "," /* in test: no rollback */
    RIGHT("developer", "test", "tick") "," RIGHT("developer", "test", "deploy") ","    /* tester */
    RIGHT("tester", "*", "view") "," DEPLOYS("tester", "test") "," OPERATES("ops") "," /* admin */
    OPERATES("admin") "," RIGHT("admin", "*", "admin") ";";
