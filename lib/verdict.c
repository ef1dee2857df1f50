/* verdict - names of the verdict kinds */
#include "verdict.h"
#include <string.h>

static const char *const names[] = {
#define X(name) #name,
    VERDICTS(X)
#undef X
};

const char *verdict_name(enum verdict_kind k)
{
    return (unsigned)k < VERDICT_COUNT ? names[k] : "?";
}

int verdict_parse(const char *name)
{
    for (int i = 0; i < VERDICT_COUNT; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}
