/* test_jsonmend - escapes that no UTF-8 text can hold */
#include "jsonmend.h"
#include "tap.h"
#include <string.h>

static const struct {
    const char *in, *out;
    size_t count;
} cases[] = {
    {"", "", 0},
    {"\"plain\\n\\\\\"", "\"plain\\n\\\\\"", 0},
    {"\\u0000", "\\ufffd", 1},
    {"\\u0000\\u0000a\\u0001", "\\ufffd\\ufffda\\u0001", 2},
    {"\\\\u0000", "\\\\u0000", 0}, /* a backslash, then text */
    {"\\\\\\u0000", "\\\\\\ufffd", 1},
    {"\\ud83d\\ude00", "\\ud83d\\ude00", 0}, /* a pair */
    {"\\uD83D\\uDE00", "\\uD83D\\uDE00", 0},
    {"\\ud83d", "\\ufffd", 1},
    {"\\ude00", "\\ufffd", 1},
    {"\\ud83d\\ud83d\\ude00", "\\ufffd\\ud83d\\ude00", 1},
    {"\\ud83dx\\ude00", "\\ufffdx\\ufffd", 2},
    {"\\ud83d\\\\ude00", "\\ufffd\\\\ude00", 1},
    {"\\ude00\\ud83d", "\\ufffd\\ufffd", 2},
    {"\\ud7ff\\ue000", "\\ud7ff\\ue000", 0},
    {"\\u00", "\\u00", 0}, /* no escape: the parser says so */
    {"\\u00g0\\", "\\u00g0\\", 0},
    {"\\ud8", "\\ud8", 0},
};

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].in), count;
        char *s = malloc(n ? n : 1); /* no byte more: ASan watches */
        memcpy(s, cases[i].in, n);
        count = json_mend(s, n);
        ok(count == cases[i].count && !memcmp(s, cases[i].out, n), "%s", cases[i].in);
        free(s);
    }
    return done_testing();
}
