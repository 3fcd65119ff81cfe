#include "core/api/page.h"

#include <zlib.h>

#include "base/check.h"
#include "base/log.h"

#define FILE_MAX (8u << 20) /* unpacked */
#define GZIP_BITS (15 + 16) /* of zlib: with gzip's header */

/* What a page may do: load from here, talk to here, and nothing else. No inline script or style,
 * no frame around it, no form that leaves; the address (it may hold a one-time link) goes nowhere.
 */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "                  \
    "form-action 'none'; frame-ancestors 'none'"

extern const unsigned char console_pack[];
extern const unsigned char console_pack_end[];

static struct page_file files[PAGE_FILES_MAX];
static size_t file_count;

/* ---- the pack ---- */

static struct str line_of(struct str *rest)
{
    return str_cut(rest, '\n');
}

static bool read_row(struct str line, struct page_file *file, int64_t *ret_length)
{
    struct err ignored = ERR_INIT;
    file->name = str_cut(&line, ' ');
    file->type = str_cut(&line, ' ');
    file->tag = str_cut(&line, ' ');
    return file->tag.length && line.data &&
           str_to_int(line, 0, FILE_MAX, "length", ret_length, &ignored) == 0;
}

int page_read(struct str pack, struct page_file ret_files[PAGE_FILES_MAX])
{
    int64_t lengths[PAGE_FILES_MAX];
    size_t count = 0;
    struct str line;
    if (!str_is(line_of(&pack), "slipway-console 1"))
        return -1;
    while ((line = line_of(&pack)).length) {
        if (count == PAGE_FILES_MAX || !read_row(line, &ret_files[count], &lengths[count]))
            return -1;
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = (size_t)lengths[i];
        if (!pack.data || pack.length < length)
            return -1;
        ret_files[i].packed = (struct str){pack.data, length};
        pack = (struct str){pack.data + length, pack.length - length};
    }
    return (int)count;
}

void page_start(void)
{
    struct str pack = {(const char *)console_pack, (size_t)(console_pack_end - console_pack)};
    int count = page_read(pack, files);
    file_count = count < 0 ? 0 : (size_t)count;
    if (file_count == 0)
        log_warn("this program was built without its console, going on without it");
}

void page_stop(void)
{
    file_count = 0;
}

/* ---- addresses ---- */

bool page_wants(struct str path)
{
    return !str_is(path, "/api") && !str_starts(path, "/api/");
}

static bool is_first_word(struct str word)
{
    static const char *const words[] = {"",      "apps",  "branches", "journal",
                                        "login", "setup", "settings", "me"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_is(word, words[i]))
            return true;
    return false;
}

bool page_is_address(struct str path)
{
    struct err ignored = ERR_INIT;
    bool first = true;
    if (!path.length || path.data[0] != '/')
        return false;
    struct str rest = {path.data + 1, path.length - 1};
    if (!rest.length)
        return true;
    while (rest.data) {
        struct str segment = str_cut(&rest, '/');
        AUTO_FREE char *name = NULL;
        if (segment.length == 0 || http_decode_segment(segment, &name, &ignored) < 0 ||
            str_has_control(str_of(name)))
            return false;
        if (first && !is_first_word(segment))
            return false;
        first = false;
    }
    return true;
}

static const struct page_file *file_named(struct str name)
{
    for (size_t i = 0; i < file_count; i++)
        if (str_equal(files[i].name, name))
            return &files[i];
    return NULL;
}

static const struct page_file *file_for(struct str path)
{
    const struct page_file *file = file_named((struct str){path.data + 1, path.length - 1});
    return file || !page_is_address(path) ? file : file_named(STR("index.html"));
}

/* ---- answers ---- */

static void respond(struct api_call *call, int status, const struct page_file *file, bool packed,
                    struct str body)
{
    bool named_by_content = str_starts(file->name, "assets/");
    AUTO_FREE char *type = str_dup(file->type);
    AUTO_FREE char *tag = mem_format("\"%.*s\"", (int)file->tag.length, file->tag.data);
    const char *headers[] = {"Content-Type",
                             type,
                             "ETag",
                             tag,
                             "Cache-Control",
                             named_by_content ? "public, max-age=31536000, immutable" : "no-cache",
                             "Content-Security-Policy",
                             POLICY,
                             "X-Content-Type-Options",
                             "nosniff",
                             "Referrer-Policy",
                             "no-referrer",
                             "Cross-Origin-Opener-Policy",
                             "same-origin",
                             "Cross-Origin-Resource-Policy",
                             "same-origin",
                             "Vary",
                             "Accept-Encoding",
                             packed ? "Content-Encoding" : NULL,
                             "gzip",
                             NULL};
    http_respond(call->http, status, headers, body);
}

/* "gzip, deflate, br;q=0.5": what says gzip without forbidding it. */
static bool takes_gzip(const struct api_call *call)
{
    struct str list = http_header(call->http, "accept-encoding");
    while (list.data) {
        struct str one = str_cut(&list, ',');
        struct str name = str_trim(str_cut(&one, ';'));
        if (str_equal_nocase(name, "gzip"))
            return !one.data || !str_is(str_trim(one), "q=0");
    }
    return false;
}

/* For programs that take no gzip: browsers all do. */
static int unpack(struct str packed, struct buf *out, struct err *err)
{
    z_stream z = {0};
    char piece[16384];
    int result = Z_OK;
    if (inflateInit2(&z, GZIP_BITS) != Z_OK)
        return FAIL(err, E_UNAVAILABLE, "no memory to unpack a page");
    z.next_in = (Bytef *)(uintptr_t)packed.data;
    z.avail_in = (uInt)packed.length;
    while (result == Z_OK) {
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof(piece);
        result = inflate(&z, Z_NO_FLUSH);
        if (buf_add(out, piece, sizeof(piece) - z.avail_out) < 0)
            break;
    }
    (void)inflateEnd(&z);
    return result == Z_STREAM_END
               ? 0
               : FAIL(err, E_INTERNAL, "a file of the console cannot be unpacked");
}

static int serve_file(struct api_call *call, const struct page_file *file, struct err *err)
{
    struct str known = http_header(call->http, "if-none-match");
    if (known.length == file->tag.length + 2 &&
        memcmp(known.data + 1, file->tag.data, file->tag.length) == 0) {
        respond(call, 304, file, false, STR(""));
        return 0;
    }
    if (takes_gzip(call)) {
        respond(call, 200, file, true, file->packed);
        return 0;
    }
    AUTO_BUF out = BUF_INIT(FILE_MAX);
    if (unpack(file->packed, &out, err) < 0)
        return -1;
    respond(call, 200, file, false, buf_str(&out));
    return 0;
}

int page_serve(struct api_call *call, struct err *err)
{
    struct str path = http_path(call->http);
    const struct page_file *file = str_starts(path, "/") ? file_for(path) : NULL;
    if (!file && file_count == 0 && page_is_address(path))
        return FAIL(err, E_NOT_FOUND,
                    "this program was built without its console: run tools/pack-console in its "
                    "tree, then build it again; the command line and the API work");
    if (!file)
        return FAIL(err, E_NOT_FOUND, "no such address");
    struct str method = http_method(call->http);
    if (!str_is(method, "GET") && !str_is(method, "HEAD"))
        return FAIL(err, E_METHOD_NOT_ALLOWED, "this address does not know that method");
    return serve_file(call, file, err);
}
