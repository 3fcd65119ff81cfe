/* See doctor_local.h. doctor_port.c finds who holds a port, doctor_role.c what the roles do. */
#include "cli/doctor_local.h"
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/doctor_priv.h"

#define KEY_BYTES 32
#define CLOCK_SLACK_MS 60000

static void look_users(const struct settings *s, json_t *checks)
{
    const char *const users[] = {s->user_core, s->user_courier, s->user_signals, s->user_edge};
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        struct err err = ERR_INIT;
        uid_t uid;
        gid_t gid;
        bool there = settings_uid(users[i], &uid, &gid, &err) == 0;
        AUTO_FREE char *name = mem_format("user %s", users[i]);
        AUTO_FREE char *found = there ? mem_format("uid %u", (unsigned)uid) : mem_strdup(err.text);
        (void)doctor_push(checks, name, there, found,
                          "tools/deps users makes Slipway's; or name another in the settings");
    }
}

static void look_key(const struct settings *s, json_t *checks)
{
    AUTO_FREE char *path = settings_data(s, "master.key");
    AUTO_FREE char *mend = mem_format("chown root: %s; chmod 0600 %s", path, path);
    AUTO_FREE char *text = NULL;
    const char *fix = "put it back from your backup: without it no secret can be opened";
    struct stat info;
    bool ok = false;
    if (lstat(path, &info) < 0) {
        text = mem_format("'%s' is missing", path);
    } else if (!S_ISREG(info.st_mode) || info.st_size != KEY_BYTES) {
        text = mem_format("'%s' is not a file of %d bytes", path, KEY_BYTES);
    } else if (info.st_uid != 0 || (info.st_mode & 07777) != 0600) {
        text = mem_format("'%s' has mode %04o and owner %u, not 0600 and root: others may read "
                          "every secret",
                          path, info.st_mode & 07777, (unsigned)info.st_uid);
        fix = mend;
    } else {
        ok = true;
        text = mem_format("'%s', root's alone", path);
    }
    (void)doctor_push(checks, "master key", ok, text, fix);
}

static void look_disk(const struct settings *s, json_t *checks)
{
    struct statvfs info;
    AUTO_FREE char *text = NULL;
    bool ok = statvfs(s->data_dir, &info) == 0;
    if (!ok) {
        text = mem_format("'%s' cannot be looked at: it is missing, or not readable", s->data_dir);
    } else {
        int64_t free_bytes = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
        ok = free_bytes >= s->disk_reserve;
        text =
            mem_format("%lld MiB are free at '%s', %lld are kept as a reserve",
                       (long long)free_bytes >> 20, s->data_dir, (long long)s->disk_reserve >> 20);
    }
    (void)doctor_push(checks, "disk", ok, text,
                      "free some space: slipway df shows what takes it; see data_dir in the "
                      "settings");
}

/* Files that Slipway wrote are from the past, or the clock was right then and is behind now. */
static void look_clock(const struct settings *s, json_t *checks)
{
    static const char *const names[] = {"core/store.db", "core/store.db-wal", "host/journal-heads",
                                        "host/epoch", "master.key"};
    int64_t now_ms = clock_wall_ms(clock_system());
    AUTO_FREE char *text = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names) && !text; i++) {
        AUTO_FREE char *path = settings_data(s, names[i]);
        struct stat info;
        if (stat(path, &info) < 0 || (int64_t)info.st_mtim.tv_sec * 1000 <= now_ms + CLOCK_SLACK_MS)
            continue;
        char then[25], now[25];
        time_format((int64_t)info.st_mtim.tv_sec * 1000, then);
        time_format(now_ms, now);
        text = mem_format("the wall clock says %.16s, but '%s' was written at %.16s: it is behind, "
                          "or was ahead then",
                          now, path, then);
    }
    (void)doctor_push(checks, "clock", !text, text ? text : "no file is from the future",
                      "set the clock (timedatectl set-ntp true): tokens and times depend on it");
}

static void look_ports(const struct settings *s, json_t *checks)
{
    const char *colon = strrchr(s->api_listen, ':');
    struct err ignored = ERR_INIT;
    int64_t api = 0;
    if (colon && str_to_int(str_of(colon + 1), 1, 65535, "port", &api, &ignored) == 0)
        doctor_port(s, &(struct doctor_port){"API", "api_listen", s->api_listen, api}, checks);
    doctor_port(s, &(struct doctor_port){"edge", "edge_http", s->edge_address, s->edge_http},
                checks);
    if (s->edge_https)
        doctor_port(s,
                    &(struct doctor_port){"edge TLS", "edge_https", s->edge_address, s->edge_https},
                    checks);
}

void doctor_local(const char *settings_path, const char *trouble, json_t *checks)
{
    struct err err = ERR_INIT;
    AUTO(settings) *s = NULL;
    AUTO_FREE char *whole = realpath(settings_path, NULL); /* as the roles are started with it */
    const char *path = whole ? whole : settings_path;
    bool readable = settings_load(path, &s, &err) == 0;
    (void)doctor_push(checks, "settings", readable, readable ? path : err.text,
                      "mend the file: man slipway.conf tells its keys");
    if (!readable)
        return;
    doctor_roles(s, trouble, checks);
    look_ports(s, checks);
    look_users(s, checks);
    doctor_programs(checks);
    look_key(s, checks);
    look_disk(s, checks);
    look_clock(s, checks);
}

static const json_t *find(const json_t *checks, const char *name)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks, i, check) if (text_is(json_text(check, "name"), name)) return check;
    return NULL;
}

json_t *doctor_merge(const json_t *local, const json_t *remote)
{
    json_t *all = json_array();
    size_t i;
    json_t *check;
    json_array_foreach(local, i, check)
    {
        const json_t *other = find(remote, json_text_or(check, "name", ""));
        bool take = other && (json_bool(check, "ok", false) || json_object_get(other, "log"));
        json_push(all, json_incref((json_t *)(uintptr_t)(take ? other : check)));
    }
    json_array_foreach(remote, i, check) if (!find(local, json_text_or(check, "name", "")))
        json_push(all, json_incref(check));
    return all;
}
