/*
 * codes.c - set operations on sorted ranges, case closure, and named sets from libunistring.
 *
 * libunistring answers "does this code point belong?", so a named set is built by asking for every
 * code point of the planes that hold anything but one uniform category. The answers for the general
 * categories and for case mappings are kept for the life of the process.
 */
#include "constraint/codes.h"

#include "base/heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>

void cz_codes_add(struct cz_codes *set, uint32_t first, uint32_t last)
{
    if (first > last || set->failed)
        return;
    if (set->count && set->ranges[set->count - 1].last + 1 == first) {
        set->ranges[set->count - 1].last = last;
        return;
    }
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 8;
        struct cz_code_range *ranges = CZ_ARENA_ARRAY(set->arena, struct cz_code_range, capacity);
        if (!ranges) {
            set->failed = true;
            return;
        }
        if (set->count)
            memcpy(ranges, set->ranges, set->count * sizeof *ranges);
        set->ranges = ranges;
        set->capacity = capacity;
    }
    set->ranges[set->count++] = (struct cz_code_range){first, last};
}

void cz_codes_add_set(struct cz_codes *set, const struct cz_codes *other)
{
    for (size_t i = 0; i < other->count; i++)
        cz_codes_add(set, other->ranges[i].first, other->ranges[i].last);
    set->failed |= other->failed;
    cz_codes_normalise(set);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct cz_code_range *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

void cz_codes_normalise(struct cz_codes *set)
{
    if (set->count < 2)
        return;
    qsort(set->ranges, set->count, sizeof *set->ranges, compare_ranges);
    size_t kept = 0;
    for (size_t i = 1; i < set->count; i++) {
        struct cz_code_range next = set->ranges[i], *current = &set->ranges[kept];
        if (next.first > current->last + 1)
            set->ranges[++kept] = next;
        else if (next.last > current->last)
            current->last = next.last;
    }
    set->count = kept + 1;
}

void cz_codes_negate(struct cz_codes *set)
{
    struct cz_codes result = {.arena = set->arena, .failed = set->failed};
    uint32_t next = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->ranges[i].first > next)
            cz_codes_add(&result, next, set->ranges[i].first - 1);
        next = set->ranges[i].last + 1;
    }
    if (next <= CZ_CODE_LAST)
        cz_codes_add(&result, next, CZ_CODE_LAST);
    *set = result;
}

void cz_codes_intersect(struct cz_codes *set, const struct cz_codes *other)
{
    struct cz_codes result = {.arena = set->arena, .failed = set->failed || other->failed};
    for (size_t i = 0, j = 0; i < set->count && j < other->count;) {
        struct cz_code_range a = set->ranges[i], b = other->ranges[j];
        uint32_t first = a.first > b.first ? a.first : b.first;
        uint32_t last = a.last < b.last ? a.last : b.last;
        cz_codes_add(&result, first, last);
        if (a.last < b.last)
            i++;
        else
            j++;
    }
    *set = result;
}

bool cz_codes_has(const struct cz_codes *set, uint32_t code)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->ranges[low].first <= code;
}

/* ---- Case ---- */

/* Code points with case variants, each with the representative of its class, sorted by class. */
struct case_entry {
    uint32_t code, class;
};

/* Beyond these no assigned character of Unicode has properties that vary within a plane: the
 * planes 4 to 13 are unassigned, 15 and 16 private use, 14 has its characters at the beginning. */
enum {
    FIRST_PLANES_END = 0x34000,
    PLANE_14 = 0xE0000,
    PLANE_14_END = 0xE1000,
    CASE_END = 0x20000,
    CASE_CAPACITY = 8192
};

static struct case_entry *case_entries;
static size_t case_count;
static pthread_once_t case_once = PTHREAD_ONCE_INIT;

static uint32_t case_class(uint32_t code)
{
    return uc_tolower(uc_toupper(code));
}

static int compare_classes(const void *a, const void *b)
{
    const struct case_entry *left = a, *right = b;
    if (left->class != right->class)
        return left->class < right->class ? -1 : 1;
    return (left->code > right->code) - (left->code < right->code);
}

static void load_cases(void)
{
    struct case_entry *entries = cz_heap_zeroed(CASE_CAPACITY, sizeof *entries);
    if (!entries)
        return;
    size_t count = 0;
    for (uint32_t code = 0; code < CASE_END && count + 2 <= CASE_CAPACITY; code++) {
        if (uc_tolower(code) == code && uc_toupper(code) == code)
            continue;
        uint32_t class = case_class(code);
        entries[count++] = (struct case_entry){code, class};
        if (uc_tolower(class) == class && uc_toupper(class) == class)
            entries[count++] = (struct case_entry){class, class}; /* it has no variant of its own */
    }
    qsort(entries, count, sizeof *entries, compare_classes);
    case_entries = entries;
    case_count = count;
}

void cz_codes_close_case(struct cz_codes *set)
{
    pthread_once(&case_once, load_cases);
    if (!case_entries) {
        set->failed = true;
        return;
    }
    struct cz_codes added = {.arena = set->arena};
    for (size_t start = 0, end; start < case_count; start = end) {
        bool member = false;
        for (end = start; end < case_count && case_entries[end].class == case_entries[start].class;
             end++)
            member |= cz_codes_has(set, case_entries[end].code);
        for (size_t i = start; member && i < end; i++)
            cz_codes_add(&added, case_entries[i].code, case_entries[i].code);
    }
    cz_codes_add_set(set, &added);
}

/* ---- Named sets ---- */

/* Runs of equal general category over all code points. */
struct category_run {
    uint32_t first;
    uint32_t mask; /* the one bit that uc_general_category has for it */
};

enum { RUN_CAPACITY = 8192 };

static struct category_run *category_runs;
static size_t category_run_count;
static pthread_once_t category_once = PTHREAD_ONCE_INIT;

static uint32_t category_of(uint32_t code)
{
    return uc_general_category(code).bitmask;
}

static void load_categories(void)
{
    struct category_run *runs = cz_heap_zeroed(RUN_CAPACITY, sizeof *runs);
    if (!runs)
        return;
    size_t count = 0;
    for (uint32_t code = 0; code <= CZ_CODE_LAST && count < RUN_CAPACITY; code++) {
        uint32_t mask = category_of(code);
        if (!count || runs[count - 1].mask != mask)
            runs[count++] = (struct category_run){code, mask};
        if (code == FIRST_PLANES_END)
            code = PLANE_14 - 1;
        else if (code == PLANE_14_END)
            code = 0xEFFFD; /* the end of plane 14 and the private planes are walked again */
        else if (code > 0xF0000 && code < 0xFFFF0)
            code = 0xFFFF0;
        else if (code > 0x100000 && code < 0x10FFF0)
            code = 0x10FFF0;
    }
    category_runs = runs;
    category_run_count = count;
}

static bool add_categories(struct cz_codes *set, uint32_t mask)
{
    pthread_once(&category_once, load_categories);
    if (!category_runs) {
        set->failed = true;
        return true;
    }
    for (size_t i = 0; i < category_run_count; i++) {
        uint32_t last = i + 1 < category_run_count ? category_runs[i + 1].first - 1 : CZ_CODE_LAST;
        if (category_runs[i].mask & mask)
            cz_codes_add(set, category_runs[i].first, last);
    }
    return true;
}

struct named_category {
    const char *name, *long_name;
    uint32_t mask;
};

/* PropertyValueAliases.txt, General_Category. The masks are libunistring's. */
static const struct named_category named_categories[] = {
    {"L", "Letter", UC_CATEGORY_MASK_L},
    {"LC", "Cased_Letter", UC_CATEGORY_MASK_LC},
    {"L&", "Cased_Letter", UC_CATEGORY_MASK_LC},
    {"Lu", "Uppercase_Letter", UC_CATEGORY_MASK_Lu},
    {"Ll", "Lowercase_Letter", UC_CATEGORY_MASK_Ll},
    {"Lt", "Titlecase_Letter", UC_CATEGORY_MASK_Lt},
    {"Lm", "Modifier_Letter", UC_CATEGORY_MASK_Lm},
    {"Lo", "Other_Letter", UC_CATEGORY_MASK_Lo},
    {"M", "Mark", UC_CATEGORY_MASK_M},
    {"M", "Combining_Mark", UC_CATEGORY_MASK_M},
    {"Mn", "Nonspacing_Mark", UC_CATEGORY_MASK_Mn},
    {"Mc", "Spacing_Mark", UC_CATEGORY_MASK_Mc},
    {"Me", "Enclosing_Mark", UC_CATEGORY_MASK_Me},
    {"N", "Number", UC_CATEGORY_MASK_N},
    {"Nd", "Decimal_Number", UC_CATEGORY_MASK_Nd},
    {"Nd", "digit", UC_CATEGORY_MASK_Nd},
    {"Nl", "Letter_Number", UC_CATEGORY_MASK_Nl},
    {"No", "Other_Number", UC_CATEGORY_MASK_No},
    {"P", "Punctuation", UC_CATEGORY_MASK_P},
    {"P", "punct", UC_CATEGORY_MASK_P},
    {"Pc", "Connector_Punctuation", UC_CATEGORY_MASK_Pc},
    {"Pd", "Dash_Punctuation", UC_CATEGORY_MASK_Pd},
    {"Ps", "Open_Punctuation", UC_CATEGORY_MASK_Ps},
    {"Pe", "Close_Punctuation", UC_CATEGORY_MASK_Pe},
    {"Pi", "Initial_Punctuation", UC_CATEGORY_MASK_Pi},
    {"Pf", "Final_Punctuation", UC_CATEGORY_MASK_Pf},
    {"Po", "Other_Punctuation", UC_CATEGORY_MASK_Po},
    {"S", "Symbol", UC_CATEGORY_MASK_S},
    {"Sm", "Math_Symbol", UC_CATEGORY_MASK_Sm},
    {"Sc", "Currency_Symbol", UC_CATEGORY_MASK_Sc},
    {"Sk", "Modifier_Symbol", UC_CATEGORY_MASK_Sk},
    {"So", "Other_Symbol", UC_CATEGORY_MASK_So},
    {"Z", "Separator", UC_CATEGORY_MASK_Z},
    {"Zs", "Space_Separator", UC_CATEGORY_MASK_Zs},
    {"Zl", "Line_Separator", UC_CATEGORY_MASK_Zl},
    {"Zp", "Paragraph_Separator", UC_CATEGORY_MASK_Zp},
    {"C", "Other", UC_CATEGORY_MASK_C},
    {"Cc", "Control", UC_CATEGORY_MASK_Cc},
    {"Cc", "cntrl", UC_CATEGORY_MASK_Cc},
    {"Cf", "Format", UC_CATEGORY_MASK_Cf},
    {"Cs", "Surrogate", UC_CATEGORY_MASK_Cs},
    {"Co", "Private_Use", UC_CATEGORY_MASK_Co},
    {"Cn", "Unassigned", UC_CATEGORY_MASK_Cn},
};

static bool add_category_name(struct cz_codes *set, struct cz_slice name)
{
    for (size_t i = 0; i < sizeof named_categories / sizeof *named_categories; i++) {
        const struct named_category *known = &named_categories[i];
        if (cz_slice_is(name, known->name) || cz_slice_is(name, known->long_name))
            return add_categories(set, known->mask);
    }
    return false;
}

static bool add_script(struct cz_codes *set, struct cz_slice name)
{
    char text[64];
    if (name.size >= sizeof text)
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    const uc_script_t *script = uc_script_byname(text);
    if (!script)
        return false;
    for (uint32_t code = 0; code <= CZ_CODE_LAST; code++) {
        if (code == FIRST_PLANES_END)
            code = PLANE_14;
        else if (code == PLANE_14_END)
            break;
        if (uc_is_script(code, script))
            cz_codes_add(set, code, code);
    }
    return true;
}

static bool add_binary_property(struct cz_codes *set, struct cz_slice name)
{
    char text[64];
    if (name.size >= sizeof text)
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    uc_property_t property = uc_property_byname(text);
    if (!uc_property_is_valid(property))
        return false;
    for (uint32_t code = 0; code <= CZ_CODE_LAST; code++) {
        if (uc_is_property(code, property))
            cz_codes_add(set, code, code);
    }
    return true;
}

static bool strip(struct cz_slice *name, const char *prefix)
{
    if (!cz_slice_starts_with(*name, prefix))
        return false;
    name->data += strlen(prefix);
    name->size -= strlen(prefix);
    return true;
}

static bool add_named(struct cz_codes *set, struct cz_slice name)
{
    if (strip(&name, "General_Category=") || strip(&name, "gc="))
        return add_category_name(set, name);
    if (strip(&name, "Script=") || strip(&name, "sc="))
        return add_script(set, name);
    if (cz_slice_is(name, "Any")) {
        cz_codes_add(set, 0, CZ_CODE_LAST);
        return true;
    }
    if (cz_slice_is(name, "ASCII")) {
        cz_codes_add(set, 0, 0x7F);
        return true;
    }
    if (cz_slice_is(name, "Assigned"))
        return add_categories(set, ~(uint32_t)UC_CATEGORY_MASK_Cn);
    return add_category_name(set, name) || add_script(set, name) || add_binary_property(set, name);
}

bool cz_codes_add_property(struct cz_codes *set, struct cz_slice name)
{
    struct cz_codes found = {.arena = set->arena};
    if (!add_named(&found, name))
        return false;
    cz_codes_normalise(&found);
    cz_codes_add_set(set, &found);
    return true;
}
