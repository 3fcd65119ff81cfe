/* The host role: the only part of Slipway that is root while it works.
 *
 * It reads its settings, prepares the machine (mount namespace, bridge, nftables), takes up what an
 * earlier process or the time before a reboot left (instances, edge), and then does what core asks
 * in typed verbs. Nothing here waits for core: the data plane is up before it, and outlives it. */
#include "host/host.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image.h"
#include "host/build/build.h"
#include "host/edge/edge.h"
#include "host/host_priv.h"
#include "host/instance/instance.h"
#include "host/network/network.h"
#include "host/sandbox/sandbox.h"
#include "io/loop.h"
#include "io/narrow_role.h"

/* One host an installation: a second one would fight over everything. Held until we end. */
static int lock_take(const char *folder, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/lock", folder);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return FAIL(err, E_EXISTS, "another host process of this installation runs ('%s')", path);
    (void)TAKE_FD(fd); /* open as long as the process */
    return 0;
}

static int folders_setup(const struct settings *s, struct err *err)
{
    AUTO_FREE char *host = settings_data(s, "host");
    if (file_make_dirs(s->data_dir, 0755, err) < 0 || file_make_dirs(s->run_dir, 0755, err) < 0 ||
        file_make_dirs(host, 0700, err) < 0)
        return -1;
    check_setup("host", settings_data(s, "panic/host")); /* kept */
    return lock_take(host, err);
}

static int parts_setup(struct host *h, struct err *err)
{
    static const struct instance_roots roots = {artifact_root, artifact_root_done};
    if (sandbox_setup(h->settings, err) < 0)
        return err_wrap(err, "sandbox");
    if (edge_init(h, err) < 0) /* early: traffic comes first */
        return err_wrap(err, "edge");
    if (artifact_init(h, err) < 0 || base_image_init(h, err) < 0)
        return err_wrap(err, "artifacts");
    instance_on_ready(edge_server_ready);
    if (instance_init(h, &roots, NULL, err) < 0)
        return err_wrap(err, "instances");
    if (build_init(h, err) < 0)
        return err_wrap(err, "builds");
    artifact_in_use(instance_uses, NULL);
    return 0;
}

static int listen_setup(struct host *h, struct err *err)
{
    static struct channel_handlers handlers;
    uid_t core = 0;
    gid_t group = 0;
    struct stat info;
    struct err absent = ERR_INIT;
    verbs_handlers(h, &handlers);
    if (fstat(ROLE_FD_LISTENER, &info) < 0 || !S_ISSOCK(info.st_mode))
        return FAIL(err, E_USAGE, "fd 3 is no listener: the supervisor starts this role");
    if (fcntl(ROLE_FD_LISTENER, F_SETFD, FD_CLOEXEC) < 0)
        return FAIL_SYS(err, "cannot keep the listener to ourselves");
    if (settings_uid(h->settings->user_core, &core, &group, &absent) < 0)
        log_warn("core's user does not exist, listening to root only", F_ERR(&absent));
    (void)channel_listen(ROLE_FD_LISTENER, &core, 1, &handlers, NULL);
    return 0;
}

static int host_run(struct host *h, struct err *err)
{
    random_hex(clock_system(), 8, h->boot);
    (void)umask(022);
    if (folders_setup(h->settings, err) < 0 || verbs_epoch_load(h, err) < 0)
        return -1;
    (void)loop_get();
    journal_open(h->settings);
    if (parts_setup(h, err) < 0 || listen_setup(h, err) < 0)
        return -1;
    log_info("host is up", F_STR("installation", h->settings->id), F_STR("boot", h->boot));
    loop_run(NULL, NULL);
    log_info("host ends, what it runs goes on");
    build_shutdown(h);
    instance_shutdown();
    network_shutdown();
    edge_done();
    return 0;
}

int host_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct host h = {0};
    struct settings *settings = NULL;
    const char *path = settings_argument(argc, argv);
    log_setup("host", LOG_INFO);
    if (!path) {
        log_error("usage: slipway host --settings FILE");
        return 2;
    }
    if (settings_load(path, &settings, &err) < 0) {
        log_error("cannot load the settings", F_ERR(&err));
        return err_exit_code(err.kind);
    }
    log_setup("host", log_level_from_name(settings->log_level));
    h.settings = settings;
    int result = narrow_role(NARROW_ROOT, &err);
    if (result == 0)
        result = host_run(&h, &err);
    if (result < 0)
        log_error("cannot run", F_ERR(&err));
    settings_free(settings);
    return result < 0 ? err_exit_code(err.kind) : 0;
}
