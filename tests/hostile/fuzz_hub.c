/* fuzz_hub - libFuzzer entry: whatever a hub lists, the reader answers, and no path leaves its folder (make fuzz) */
#include "hub.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Would a path lead out of the folder that it is put into? */
static int leaves(const char *s)
{
    if (*s == '/')
        return 1;
    for (;;) {
        size_t n = strcspn(s, "/");
        if (n == 2 && s[0] == '.' && s[1] == '.')
            return 1;
        if (!s[n])
            return 0;
        s += n + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct hub_list l;
    struct hub_name name;
    char *s = malloc(n + 1);
    if (!s)
        return 0;
    memcpy(s, p, n);
    s[n] = 0;
    if (hub_list_parse(&l, s, n, "fuzz", &e) == 0) {
        for (int i = 0; i < l.n; i++)
            if (leaves(l.file[i].path))
                abort();
        hub_list_free(&l);
    }
    e.code = 0;
    if (hub_name(&name, s, &e) == 0 && (leaves(name.repo) || leaves(name.rev) || leaves(name.file)))
        abort();
    free(s);
    return 0;
}
