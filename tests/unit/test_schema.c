/* test_schema - the example of every record in schema.7 parses and names its schema */
#include "json.h"
#include "tap.h"
#include <string.h>

int main(void)
{
    FILE *f = fopen(TOP "/lib/schema.7", "r");
    char line[4096], name[64] = "", buf[4096];
    int seen = 0;
    ok(f != NULL, "schema.7 opens");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, ".Ss %63s", name) == 1)
            continue;
        if (line[0] != '{')
            continue;
        size_t n = 0;
        for (const char *p = line; *p && *p != '\n'; p++) { /* \e is roff's backslash */
            buf[n++] = *p;
            if (p[0] == '\\' && p[1] == 'e')
                p++;
        }
        struct err e = {0};
        cJSON *v = json_parse(buf, n, name, &e);
        const char *s = v ? json_get_str(v, "schema", "", &e) : "";
        ok(v && strcmp(s, name) == 0, "%s: example parses and names itself %s", name, e.msg);
        cJSON_Delete(v);
        seen++;
    }
    ok(seen >= 8, "%d examples", seen);
    if (f)
        fclose(f);
    return done_testing();
}
