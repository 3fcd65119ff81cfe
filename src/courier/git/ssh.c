/* See ssh.h. git hands over "-o SendEnv=GIT_PROTOCOL -p PORT USER@HOST COMMAND"; before that goes
 * what is allowed: this key and no agent, the host's keys that we were told and no others, the
 * address that was checked, nothing of a user's or the machine's configuration. */
#include "courier/git/ssh.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "courier/git/road.h"

#define SSH_PROGRAM "/usr/bin/ssh"
#define ARGS_MAX 64

static char *read_line(const char *folder, const char *name)
{
    AUTO_FREE char *path = mem_format("%s/%s", folder, name);
    AUTO_BUF text = BUF_INIT(4096);
    struct err ignored = ERR_INIT;
    if (file_read(path, 4096, &text, &ignored) < 0 || text.length == 0)
        return NULL;
    return mem_strdup(text.data);
}

bool git_ssh_is(const char *program)
{
    const char *slash = strrchr(program, '/');
    return slash && strcmp(slash + 1, ROAD_SSH) == 0;
}

int git_ssh_main(int argc, char **argv)
{
    static const char *const fixed[] = {
        "-F",
        "none",
        "-oBatchMode=yes",
        "-oIdentitiesOnly=yes",
        "-oIdentityAgent=none",
        "-oStrictHostKeyChecking=yes",
        "-oGlobalKnownHostsFile=none",
        "-oUpdateHostKeys=no",
        "-oForwardAgent=no",
        "-oClearAllForwardings=yes",
        "-oPermitLocalCommand=no",
        "-oConnectTimeout=15",
        "-oServerAliveInterval=15",
        "-oServerAliveCountMax=4",
        "-oLogLevel=ERROR",
    };
    const char *args[ARGS_MAX] = {SSH_PROGRAM};
    size_t count = 1;
    char *slash = strrchr(argv[0], '/');
    AUTO_FREE char *folder = slash ? mem_strndup(argv[0], (size_t)(slash - argv[0])) : NULL;
    AUTO_FREE char *address = folder ? read_line(folder, "address") : NULL;
    AUTO_FREE char *alias = folder ? read_line(folder, "alias") : NULL;
    if (!address || !alias || (size_t)argc + ARRAY_SIZE(fixed) + 6 > ARGS_MAX) {
        (void)fprintf(stderr, "slipway-ssh: this is for git, when the courier starts it\n");
        return 2;
    }
    AUTO_FREE char *key = mem_format("-oIdentityFile=%s/key", folder);
    AUTO_FREE char *known = mem_format("-oUserKnownHostsFile=%s/known_hosts", folder);
    AUTO_FREE char *host = mem_format("-oHostName=%s", address);
    AUTO_FREE char *called = mem_format("-oHostKeyAlias=%s", alias);
    const char *given[] = {key, known, host, called};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        args[count++] = fixed[i];
    for (size_t i = 0; i < ARRAY_SIZE(given); i++)
        args[count++] = given[i];
    for (int i = 1; i < argc; i++)
        args[count++] = argv[i];
    (void)execv(SSH_PROGRAM, (char *const *)(uintptr_t)args);
    perror("slipway-ssh: " SSH_PROGRAM);
    return 127;
}
