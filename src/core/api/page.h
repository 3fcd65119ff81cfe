/* The console: the files of web/ packed into the program, given to whoever asks for a path that is
 * no API's. The pack (tools/pack-console) holds each file compressed, with its media type and the
 * first half of its SHA-256. Pages of the console have addresses of their own ("/apps/shop/dev"):
 * all of them are the one index.html, which looks at its address. Nothing here needs a person; what
 * a page shows it asks the API for. Loop thread. */
#pragma once
#include "core/api/api_priv.h"

/* Read the pack once, at start; a program that was built without one says so on the page. */
void page_start(void);
void page_stop(void);
/* Is that a path for the console? (Not below /api.) */
bool page_wants(struct str path);
/* Answer it. E_NOT_FOUND, E_METHOD_NOT_ALLOWED */
int page_serve(struct api_call *call, struct err *err) MUST_CHECK;

/* For tests: the pack's head. A file of it; views into the pack. */
struct page_file {
    struct str name; /* "index.html", "assets/index-3f2a.js" */
    struct str type;
    struct str tag;
    struct str packed; /* gzip */
};
#define PAGE_FILES_MAX 64
/* "slipway-console 1\n", then "NAME TYPE TAG LENGTH\n" for each, an empty line, the bytes of all in
 * that order. Returns how many; -1: it is no pack. Pure. */
int page_read(struct str pack, struct page_file files[PAGE_FILES_MAX]);
/* Is it an address of a page? Its first word is one of the console's, and no segment of it is
 * anything but a name (B073). Pure. */
bool page_is_address(struct str path);
