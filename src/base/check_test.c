#include "base/check.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/sm.h"
#include "base/tap.h"

static size_t panics(char *ret_path, size_t size)
{
    DIR *dir = opendir(tap_dir());
    size_t count = 0;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (strncmp(e->d_name, "panic-", 6) != 0)
            continue;
        count++;
        (void)snprintf(ret_path, size, "%s/%s", tap_dir(), e->d_name);
    }
    if (dir)
        (void)closedir(dir);
    return count;
}

static _Noreturn void panic_child(void)
{
    static const char *const states[] = {"going", "gone"}, *const events[] = {"stop"};
    static const struct sm_row rows[] = {{0, 0, 1}};
    static const struct sm sm = {"journey", states, 2, events, 1, rows, 1, 0};
    int to = 0;
    if (!freopen("/dev/null", "w", stderr) || sm_next(&sm, 0, 0, &to) != 0)
        _exit(1);
    check_setup("straw", tap_dir());
    check_command("POST /straw");
    PANIC("a test");
}

TEST(a_panic_leaves_what_is_needed_in_its_folder)
{
    int status = 0;
    char path[512] = "";
    AUTO_BUF text = BUF_INIT(0);
    struct err err = ERR_INIT;
    OK(tap_dir() != NULL); /* made by us, not by the child */
    pid_t pid = fork();
    if (pid == 0)
        panic_child();
    OK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    IS_INT(panics(path, sizeof(path)), 1);
    OK(file_read(path, 65536, &text, &err) == 0);
    OK(strstr(text.data, "PANIC a test\n") != NULL);
    OK(strstr(text.data, "role straw\n") != NULL);
    OK(strstr(text.data, "command POST /straw\n") != NULL);
    OK(strstr(text.data, "journey was 'going', 'stop' came\n") != NULL);
    OK(strstr(text.data, "backtrace:\n") != NULL);
}

TEST(old_panics_go_and_other_files_stay)
{
    struct err err = ERR_INIT;
    char path[512];
    AUTO_FREE char *other = mem_format("%s/notes", tap_dir());
    OK(file_write(other, STR("x"), 0600, &err) == 0);
    for (int i = 0; i < CHECK_PANICS_KEPT + 5; i++) {
        AUTO_FREE char *name = mem_format("%s/panic-2026-01-%02d.txt", tap_dir(), i);
        OK(file_write(name, STR("x"), 0600, &err) == 0);
    }
    check_setup("straw", tap_dir());
    IS_INT(panics(path, sizeof(path)), CHECK_PANICS_KEPT);
    AUTO_FREE char *gone = mem_format("%s/panic-2026-01-04.txt", tap_dir());
    AUTO_FREE char *kept = mem_format("%s/panic-2026-01-05.txt", tap_dir());
    OK(!file_exists(gone) && file_exists(kept) && file_exists(other));
}

TAP_MAIN()
