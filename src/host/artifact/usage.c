/* What the store takes, and whether it can work. Sizes of unpacked layers come from their records:
 * walking the trees would hold up the loop. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"
#include "wire/doctor.h"

static void push(json_t *volumes, const char *what, const char *below, int64_t bytes, int64_t files)
{
    AUTO_FREE char *path = artifact_store_path(below);
    json_t *one = json_object();
    json_put_text(one, "what", what);
    json_put_text(one, "path", path);
    json_put_int(one, "bytes", bytes);
    json_put_int(one, "files", files);
    json_push(volumes, one);
}

static void df_blobs(json_t *volumes)
{
    AUTO_FREE char *folder = artifact_store_path("blobs/sha256");
    DIR *dir = opendir(folder);
    int64_t bytes = 0, files = 0;
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
            continue;
        bytes += st.st_blocks * 512;
        files++;
    }
    if (dir)
        (void)closedir(dir); /* read only */
    push(volumes, "artifacts", "blobs", bytes, files);
}

static void df_layers(json_t *volumes)
{
    AUTO_FREE char *folder = artifact_store_path("unpacked");
    DIR *dir = opendir(folder);
    int64_t bytes = 0, layers = 0;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        struct layer_record record;
        struct err err = ERR_INIT;
        AUTO_FREE char *digest = mem_format("sha256:%.64s", e->d_name);
        if (strlen(e->d_name) != 64 || !str_is_digest(str_of(digest)) ||
            layer_record_read(digest, &record, &err) < 0)
            continue;
        bytes += record.bytes;
        layers++;
    }
    if (dir)
        (void)closedir(dir); /* read only */
    push(volumes, "unpacked layers", "unpacked", bytes, layers);
}

void artifact_df(struct host *h, json_t *volumes)
{
    (void)h; /* the one host of this process */
    df_blobs(volumes);
    df_layers(volumes);
}

void artifact_doctor(struct host *h, json_t *checks)
{
    struct err err = ERR_INIT;
    bool room = artifact_disk_room(0, &err) == 0;
    (void)h; /* the one host of this process */
    doctor_push(checks, "disk", room, room ? "more than the reserve is free" : err.text,
                "free some space: slipway df shows what takes it");
}
