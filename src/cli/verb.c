/* verb.c - looking up verbs and flags, and the nearest name to a misspelt one. */
#include "cli/verb.h"

#include "base/size.h"

enum { LONGEST_NAME = 64 };

const struct cz_verb *cz_verb_find(const struct cz_verb *parent, const char *name)
{
    for (const struct cz_verb *const *at = parent->verbs; at && *at; at++) {
        if (strcmp((*at)->name, name) == 0)
            return *at;
    }
    return NULL;
}

const struct cz_flag *cz_flag_find(const struct cz_verb *verb, struct cz_slice name)
{
    CZ_EACH(flag, verb->flags)
    {
        if (cz_slice_is(name, flag->name))
            return flag;
    }
    CZ_EACH(flag, cz_global_flags)
    {
        if (cz_slice_is(name, flag->name))
            return flag;
    }
    return NULL;
}

const struct cz_flag *cz_flag_letter(const struct cz_verb *verb, char letter)
{
    CZ_EACH(flag, verb->flags)
    {
        if (flag->letter == letter)
            return flag;
    }
    CZ_EACH(flag, cz_global_flags)
    {
        if (flag->letter == letter)
            return flag;
    }
    return NULL;
}

bool cz_choice_has(const char *choices, struct cz_slice word)
{
    while (choices) {
        const char *end = strchrnul(choices, '|');
        if (cz_slice_equal(word, cz_slice_of(choices, (size_t)(end - choices))))
            return true;
        choices = *end ? end + 1 : NULL;
    }
    return false;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b: the optimal string
 * alignment distance, three rows at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    size_t rows[3][LONGEST_NAME + 1];
    if (a_size > LONGEST_NAME || b_size > LONGEST_NAME)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = cz_size_min(replace, cz_size_min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = cz_size_min(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

struct nearest {
    const char *asked;
    const char *name;
    size_t distance; /* of the best so far; starts as the largest that counts as near, plus 1 */
};

static struct nearest nearest_start(const char *asked)
{
    return (struct nearest){asked, NULL, 2 + strlen(asked) / 4};
}

static void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t size = strlen(nearest->asked);
    bool begins = size >= 3 && strncmp(name, nearest->asked, size) == 0;
    size_t distance = begins ? 1 : edit_distance(nearest->asked, name);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->name = name;
    }
}

const char *cz_nearest_verb(const struct cz_verb *parent, const char *name)
{
    struct nearest nearest = nearest_start(name);
    for (const struct cz_verb *const *at = parent->verbs; at && *at; at++) {
        if (!(*at)->hidden)
            nearest_offer(&nearest, (*at)->name);
    }
    return nearest.name;
}

const char *cz_nearest_flag(const struct cz_verb *verb, const char *name)
{
    struct nearest nearest = nearest_start(name);
    CZ_EACH(flag, verb->flags)
    nearest_offer(&nearest, flag->name);
    CZ_EACH(flag, cz_global_flags)
    nearest_offer(&nearest, flag->name);
    return nearest.name;
}
