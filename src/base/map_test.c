/* The hash map: against a plain array as the model. */
#include "base/map.h"
#include <stdio.h>
#include "base/mem.h"
#include "base/tap.h"

TEST(is_empty_at_first)
{
    struct map m;
    map_init(&m);
    OK(map_get(&m, "a") == NULL);
    OK(map_remove(&m, "a") == NULL);
    map_done(&m);
    map_done(&m);
}

TEST(puts_replaces_and_removes)
{
    struct map m = {0};
    int one = 1, two = 2;
    OK(map_put(&m, "a", &one) == NULL);
    OK(map_put(&m, "", &two) == NULL);
    OK(map_put(&m, "a", &two) == &one);
    OK(map_get(&m, "a") == &two && map_get(&m, "") == &two);
    IS_INT(m.count, 2);
    OK(map_remove(&m, "a") == &two);
    OK(map_get(&m, "a") == NULL && map_get(&m, "") == &two);
    IS_INT(m.count, 1);
    map_done(&m);
}

TEST(keeps_the_order_of_insertion)
{
    struct map m = {0};
    static char names[100][8];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%d", (i * 37) % 100);
        (void)map_put(&m, names[i], names[i]);
    }
    for (size_t i = 0; i < 100; i++)
        IS_STR(m.entries[i].key, names[i]);
    map_done(&m);
}

/* Whether the map holds exactly what the model says. */
static bool agrees(const struct map *m, char *const *model, size_t count)
{
    size_t present = 0;
    for (size_t i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key-%zu", i);
        if (map_get(m, key) != model[i])
            return false;
        present += model[i] ? 1 : 0;
    }
    return present == m->count;
}

TEST(agrees_with_a_model)
{
    struct map m = {0};
    static char *model[200];
    static char values[2];
    unsigned state = 12345;
    bool right = true;
    for (int step = 0; step < 20000 && right; step++) {
        char key[32];
        state = state * 1103515245u + 12345u;
        size_t index = (state >> 8) % ARRAY_SIZE(model);
        char *value = state & 0x80000000u ? &values[(state >> 4) & 1] : NULL;
        (void)snprintf(key, sizeof(key), "key-%zu", index);
        void *old = value ? map_put(&m, key, value) : map_remove(&m, key);
        right = old == model[index];
        model[index] = value;
        if (step % 100 == 0)
            right = right && agrees(&m, model, ARRAY_SIZE(model));
    }
    OK(right);
    map_done(&m);
}

TAP_MAIN()
