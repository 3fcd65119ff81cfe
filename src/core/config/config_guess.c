/* "Did you mean": the known word nearest to a mistyped one, by edit distance (insert, delete,
 * change, or swap of two neighbours). Near means at most a third of its letters, and at most 3. */
#include "core/config/config_priv.h"

#define WORD_MAX 24 /* the longest key is shorter */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance; both at most WORD_MAX bytes. */
static size_t distance(struct str a, struct str b)
{
    size_t rows[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a.length; i++) {
        for (size_t j = 0; j <= b.length; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            size_t change = rows[i - 1][j - 1] + (a.data[i - 1] != b.data[j - 1]);
            rows[i][j] = least(change, least(rows[i - 1][j], rows[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[a.length][b.length];
}

void config_guess_add(struct config_guess *guess, const char *candidate)
{
    struct str other = str_of(candidate);
    if (guess->word.length > WORD_MAX || other.length > WORD_MAX)
        return;
    size_t far = distance(guess->word, other);
    size_t near = least(3, (other.length + 2) / 3);
    if (far <= near && (!guess->best || far < guess->distance)) {
        guess->best = candidate;
        guess->distance = far;
    }
}
