/* The API of core as an OpenAPI 3.1 document, for docs/generated. */
#pragma once
#include "base/buf.h"

void openapi_print(struct buf *out); /* indented, with a newline at the end; always the same */
