/* The fixed parts of a git call: see call.h.
 *
 * Settings are given as -c arguments (they win over the repository's own file, which only we
 * write) and so are visible in a process list. Nothing is read from /etc/gitconfig, from a home or
 * from the environment of the courier. */
#include "courier/git/call.h"
#include <stdarg.h>
#include <sys/resource.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/git/confine.h"
#include "io/narrow_role.h"

#define STDBUF_PROGRAM "/usr/bin/stdbuf" /* coreutils: essential in Debian */
#define GIT_MEMORY_MAX (2ull << 30)      /* of one git process, private memory */
#define GIT_FILE_MAX (8ull << 30)        /* of one file it writes */

static const char *const fixed_env[] = {
    "PATH=/usr/bin:/bin",    "HOME=/nonexistent",           "LC_ALL=C.UTF-8",
    "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_ATTR_NOSYSTEM=1",   "GIT_TERMINAL_PROMPT=0",       "GIT_ASKPASS=/bin/false",
    "GIT_PAGER=cat",         "GIT_ALLOW_PROTOCOL=none",     "GIT_PROTOCOL_FROM_USER=0",
    "GIT_OPTIONAL_LOCKS=0",  "GIT_LITERAL_PATHSPECS=1",     "GIT_NO_REPLACE_OBJECTS=1",
};
static const char *const fixed_config[] = {
    "core.hooksPath=/dev/null",    "core.fsmonitor=false",
    "core.attributesFile=",        "safe.bareRepository=explicit",
    "protocol.allow=never",        "submodule.recurse=false",
    "credential.helper=",          "gc.auto=0",
    "maintenance.auto=false",      "core.fsync=committed",
    "core.commitGraph=true",       "transfer.hideRefs=refs/slipway",
    "core.bigFileThreshold=32m",   "pack.threads=2",
    "pack.windowMemory=64m",       "i18n.logOutputEncoding=UTF-8",
    "core.packedRefsTimeout=5000", "core.filesRefLockTimeout=2000",
};

static void list_add(struct git_list *l, const char *item)
{
    if (l->count + 2 > l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 96;
        l->items = mem_resize(l->items, l->capacity, sizeof(*l->items));
    }
    l->items[l->count++] = item;
    l->items[l->count] = NULL;
}

void git_call_init(struct git_call *c, const char *dir)
{
    *c = (struct git_call){.ruleset = -1};
    arena_init(&c->arena);
    for (size_t i = 0; i < ARRAY_SIZE(fixed_env); i++)
        list_add(&c->env, fixed_env[i]);
    list_add(&c->argv, GIT_PROGRAM);
    if (dir)
        list_add(&c->argv, arena_format(&c->arena, "--git-dir=%s", dir));
    if (dir)
        git_writes(c, dir);
    for (size_t i = 0; i < ARRAY_SIZE(fixed_config); i++)
        git_config(c, fixed_config[i]);
}

void git_call_done(struct git_call *c)
{
    free(c->argv.items);
    free(c->env.items);
    if (c->secret)
        explicit_bzero(c->secret, strlen(c->secret));
    free(TAKE(c->secret));
    arena_done(&c->arena);
    fd_closep(&c->ruleset);
    c->ruleset = -1;
    c->argv = c->env = (struct git_list){0};
}

void git_config(struct git_call *c, const char *setting)
{
    ASSERT(!c->verb);
    list_add(&c->argv, "-c");
    list_add(&c->argv, setting);
}

#define ALLOWED "GIT_ALLOW_PROTOCOL="

void git_outside(struct git_call *c, const char *protocols)
{
    const char *allowed = arena_format(&c->arena, ALLOWED "%s", protocols);
    for (size_t i = 0; i < c->env.count; i++)
        if (text_starts(c->env.items[i], ALLOWED))
            c->env.items[i] = allowed;
    c->outside = true;
}

void git_secret_config(struct git_call *c, const char *key, char *value)
{
    ASSERT(!c->secret);
    c->secret = mem_format("GIT_CONFIG_VALUE_0=%s", value);
    explicit_bzero(value, strlen(value));
    free(value);
    git_env(c, "GIT_CONFIG_COUNT=1");
    git_env_format(c, "GIT_CONFIG_KEY_0=%s", key);
    git_env(c, c->secret);
}

void git_unbuffered(struct git_call *c)
{
    ASSERT(!c->verb);
    struct git_list plain = c->argv;
    c->argv = (struct git_list){0};
    list_add(&c->argv, STDBUF_PROGRAM);
    list_add(&c->argv, "-o0");
    for (size_t i = 0; i < plain.count; i++)
        list_add(&c->argv, plain.items[i]);
    free(plain.items);
}

void git_verb(struct git_call *c, const char *verb)
{
    ASSERT(!c->verb);
    c->verb = verb;
    list_add(&c->argv, verb);
}

void git_arg(struct git_call *c, const char *arg)
{
    ASSERT(c->verb && arg);
    list_add(&c->argv, arg);
}

__attribute__((format(printf, 2, 0))) static char *format_text(struct git_call *c,
                                                               const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    ASSERT(length >= 0);
    char *text = arena_alloc(&c->arena, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, args); /* measured above */
    return text;
}

void git_arg_format(struct git_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    git_arg(c, format_text(c, format, args));
    va_end(args);
}

void git_env_format(struct git_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    git_env(c, format_text(c, format, args));
    va_end(args);
}

void git_end(struct git_call *c)
{
    git_arg(c, "--end-of-options");
}

void git_env(struct git_call *c, const char *assignment)
{
    list_add(&c->env, assignment);
}

void git_writes(struct git_call *c, const char *folder)
{
    ASSERT(c->folder_count < GIT_FOLDERS);
    c->folders[c->folder_count++] = folder;
}

void git_quarantine(struct git_call *c, const char *dir, const char *objects)
{
    git_writes(c, objects);
    git_env(c, arena_format(&c->arena, "GIT_OBJECT_DIRECTORY=%s", objects));
    git_env(c, arena_format(&c->arena, "GIT_ALTERNATE_OBJECT_DIRECTORIES=%s/objects", dir));
}

int git_confine(struct git_call *c, struct err *err)
{
    ASSERT(c->verb && c->ruleset < 0);
    if (confine_make(c->folders, c->folder_count, &c->ruleset, err) < 0)
        return -1;
    return c->program ? confine_program(c->ruleset, c->program, err) : 0;
}

static int child_narrow(const void *context)
{
    const struct git_call *c = context;
    return confine_enter(c->ruleset, c->outside ? CONFINE_NETWORK : CONFINE_NO_SOCKETS);
}

struct child_spec git_child_spec(const struct git_call *c)
{
    ASSERT(c->verb);
    return (struct child_spec){.argv = c->argv.items,
                               .env = c->env.items,
                               .narrow = child_narrow,
                               .narrow_context = c,
                               .stdin_fd = -1,
                               .stdout_fd = -1,
                               .stderr_fd = -1};
}

static void limit(pid_t pid, enum __rlimit_resource what, rlim_t value)
{
    struct rlimit now;
    if (prlimit(pid, what, NULL, &now) < 0)
        return; /* it has ended already */
    struct rlimit wanted = {.rlim_cur = value, .rlim_max = value};
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
        wanted.rlim_cur = wanted.rlim_max = now.rlim_max;
    (void)prlimit(pid, what, &wanted, NULL); /* likewise */
}

void git_limit(pid_t pid, const struct git_call *call)
{
    bool ours = call && call->program; /* under AddressSanitizer it takes terabytes of address */
    if (!ours || !NARROW_SANITIZED)
        limit(pid, RLIMIT_DATA, GIT_MEMORY_MAX);
    limit(pid, RLIMIT_FSIZE, call && call->file_max ? (rlim_t)call->file_max : GIT_FILE_MAX);
    limit(pid, RLIMIT_CORE, 0);
}
