/* Inside core/secret: sealing one value. */
#pragma once
#include "core/secret/secret.h"

/* What a sealed value is bound to: it opens nowhere else. */
struct secret_place {
    int64_t app_env_id;
    const char *name;
    int64_t version;
    enum secret_kind kind;
};
/* base64 of nonce and ciphertext; heap. Fails only when the value is larger than
 * SECRET_VALUE_MAX. */
int secret_seal(const struct secret_box *box, const struct secret_place *place, struct str value,
                char **ret_sealed, struct err *err) MUST_CHECK;
/* E_CORRUPT when it is not what was sealed for this place with this key. */
int secret_unseal(const struct secret_box *box, const struct secret_place *place,
                  const char *sealed, struct secret *ret_value, struct err *err) MUST_CHECK;
