/* What is sealed opens, and nothing else does. */
#include "base/aead.h"
#include "base/mem.h"
#include "base/tap.h"

static const unsigned char key[AEAD_KEY_BYTES] = "a key", other[AEAD_KEY_BYTES] = "another key";

TEST(what_was_sealed_opens)
{
    AUTO_SECRET plain = {0}, none = {0};
    AUTO_FREE char *sealed = aead_seal(key, "here", STR("value"));
    AUTO_FREE char *again = aead_seal(key, "here", STR("value"));
    AUTO_FREE char *empty = aead_seal(key, "here", STR(""));
    OK(aead_open(key, "here", sealed, &plain));
    OK(str_is(secret_str(&plain), "value"));
    OK(!text_is(sealed, again)); /* a nonce each */
    OK(aead_open(key, "here", empty, &none));
    OK(none.length == 0);
}

TEST(anything_else_does_not)
{
    AUTO_SECRET plain = {0};
    AUTO_FREE char *sealed = aead_seal(key, "here", STR("value"));
    AUTO_FREE char *cut = mem_format("%.*s", 20, sealed);
    OK(!aead_open(other, "here", sealed, &plain));
    OK(!aead_open(key, "there", sealed, &plain));
    OK(!aead_open(key, "here", cut, &plain));
    OK(!aead_open(key, "here", "", &plain));
    OK(!aead_open(key, "here", "not base64!", &plain));
    sealed[0] = sealed[0] == 'A' ? 'B' : 'A';
    OK(!aead_open(key, "here", sealed, &plain));
    OK(plain.data == NULL);
}

TAP_MAIN()
