/* test_jinja - chat templates: renderings equal Jinja2's, Python's rules, what is refused, limits, marks
 *
 * With folders as arguments it prints "template case sha256" for each template in them, as
 * tests/vectors/mk_chat.py does; with a template and "--text CASE" one rendering. */
#include "hash.h"
#include "jinja.h"
#include "json.h"
#include "mapfile.h"
#include "tap.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *s = NULL;
    size_t cap = 0, k;
    *n = 0;
    if (!f)
        return NULL;
    do {
        if (*n + 65536 > cap)
            s = realloc(s, cap = 2 * cap + 65536);
        *n += k = fread(s + *n, 1, 65536, f);
    } while (k);
    fclose(f);
    s[*n] = 0;
    return s;
}

/* ---- the conversations ---- */

struct cases {
    int n;
    struct {
        char name[40];
        char *json;
    } v[100];
};

/* A line each: name, tab, the variables as JSON. */
static int load_cases(struct cases *c)
{
    size_t n;
    char *s = slurp(TOP "/tests/vectors/chat/cases.tsv", &n), *p = s, *tab, *end;
    memset(c, 0, sizeof *c);
    while (p && c->n < 100 && (tab = strchr(p, '\t')) && (end = strchr(tab, '\n'))) {
        snprintf(c->v[c->n].name, sizeof c->v[0].name, "%.*s", (int)(tab - p), p);
        c->v[c->n++].json = strndup(tab + 1, (size_t)(end - tab - 1));
        p = end + 1;
    }
    free(s);
    return c->n;
}

static int render(const struct jinja *t, const char *json, struct jinja_text *out, struct err *e)
{
    struct jinja_vars *v = jinja_vars_new();
    struct tm now = {.tm_year = 126,
                     .tm_mon = 6,
                     .tm_mday = 4,
                     .tm_hour = 15,
                     .tm_min = 9,
                     .tm_sec = 26,
                     .tm_wday = 6,
                     .tm_yday = 184};
    jinja_set_time(v, now);
    int rc = jinja_set_all(v, json, strlen(json), 0, e);
    if (rc == 0)
        rc = jinja_render(t, v, out, e);
    else
        *out = (struct jinja_text){0};
    jinja_vars_free(v);
    return rc;
}

static void text_free(struct jinja_text *t)
{
    free(t->s);
    free(t->mark);
}

/* "template case sha256" for all cases; 0 if the template is refused. */
static int print_all(const char *path, const char *name, const struct cases *c, const char *only)
{
    struct err e = {0};
    struct jinja *t;
    size_t n;
    char *s = slurp(path, &n), hex[65];
    int good = s && jinja_parse(&t, s, n, name, &e) == 0;
    free(s);
    if (!good) {
        fprintf(stderr, "%s * refused %s\n", name, e.msg);
        return 0;
    }
    for (int i = 0; i < c->n; i++) {
        struct jinja_text out;
        struct err e2 = {0};
        if (only && strcmp(only, c->v[i].name))
            continue;
        int rc = render(t, c->v[i].json, &out, &e2);
        hash_sha256_mem(out.s ? out.s : "", out.n, hex);
        if (only)
            printf("%s%s", rc ? "error " : "", rc ? e2.msg : out.s);
        else
            printf("%s %s %.16s\n", name, c->v[i].name, rc ? "error" : hex);
        text_free(&out);
    }
    jinja_free(t);
    return 1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int tool(int argc, char **argv)
{
    static struct cases c;
    const char *only = argc > 3 && !strcmp(argv[2], "--text") ? argv[3] : NULL;
    load_cases(&c);
    for (int i = 1; i < (only ? 2 : argc); i++) {
        struct dirent **d = NULL;
        int n = scandir(argv[i], &d, NULL, by_name);
        if (n < 0)
            print_all(argv[i], argv[i], &c, only);
        for (int k = 0; k < n; k++) {
            char path[1000], name[300];
            size_t m = strlen(d[k]->d_name);
            if (m > 6 && strcmp(d[k]->d_name + m - 6, ".jinja") == 0) {
                snprintf(path, sizeof path, "%s/%s", argv[i], d[k]->d_name);
                snprintf(name, sizeof name, "%.*s", (int)m - 6, d[k]->d_name);
                print_all(path, name, &c, only);
            }
            free(d[k]);
        }
        free(d);
    }
    return 0;
}

/* ---- Python's rules ---- */

/* A template and what Jinja2 makes of it, as JSON; or "error"; or "refused", which is when it is parsed. */
static int expression(char *line, int *errors)
{
    struct err e = {0};
    struct jinja *t = NULL;
    struct jinja_text out = {0};
    char *tab = strchr(line, '\t');
    cJSON *in = json_parse(line, (size_t)(tab - line), "expr", &e),
          *want = tab[1] == '"' ? json_parse(tab + 1, strlen(tab + 1), "expr", &e) : NULL;
    int refused = strcmp(tab + 1, "refused") == 0;
    int rc = in ? jinja_parse(&t, in->valuestring, strlen(in->valuestring), "t", &e) : -1;
    if (rc == 0 && !refused)
        rc = render(t, "{}", &out, &e);
    jinja_free(t);
    int good = want ? rc == 0 && strcmp(out.s, want->valuestring) == 0 : in && rc == ERR_DATA;
    *errors += !want;
    if (!good)
        printf("# %s\n# got  %s%s\n# want %s\n", line, rc ? "error " : "", rc ? e.msg : out.s,
               want ? want->valuestring : "error");
    cJSON_Delete(in);
    cJSON_Delete(want);
    text_free(&out);
    return good;
}

static void expressions(void)
{
    size_t n;
    char *s = slurp(TOP "/tests/vectors/chat/expr.tsv", &n), *p = s, *end;
    int all = 0, good = 0, errors = 0;
    for (; p && (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        all++;
        good += expression(p, &errors);
    }
    ok(all > 100 && good == all, "%d of %d expressions as Jinja2 has them, %d of them errors", good,
       all, errors);
    free(s);
}

/* ---- real templates ---- */

static void golden(void)
{
    static struct cases c;
    struct jinja *t = NULL;
    char path[200], before[60] = "", name[60], kase[60], want[20], hex[65];
    int all = 0, good = 0, errors = 0, templates = 0;
    FILE *f = fopen(TOP "/tests/vectors/chat/golden.txt", "r");
    load_cases(&c);
    while (f && fscanf(f, "%59s %59s %19s", name, kase, want) == 3) {
        struct err e = {0};
        struct jinja_text out = {0};
        int rc = -1;
        if (strcmp(name, before)) {
            size_t n;
            jinja_free(t);
            snprintf(path, sizeof path, TOP "/tests/vectors/chat/templates/%s.jinja", name);
            char *s = slurp(path, &n);
            templates++;
            if (!s || jinja_parse(&t, s, n, name, &e))
                ok(0, "%s: %s", name, e.msg);
            free(s);
            snprintf(before, sizeof before, "%s", name);
        }
        for (int i = 0; t && i < c.n; i++)
            if (strcmp(c.v[i].name, kase) == 0)
                rc = render(t, c.v[i].json, &out, &e);
        hash_sha256_mem(out.s ? out.s : "", out.n, hex);
        hex[16] = 0;
        all++;
        int same = strcmp(rc ? "error" : hex, want) == 0;
        errors += rc != 0;
        good += same;
        if (!same)
            printf("# %s %s: %s\n", name, kase, rc ? e.msg : "differs");
        text_free(&out);
    }
    if (f)
        fclose(f);
    jinja_free(t);
    for (int i = 0; i < c.n; i++)
        free(c.v[i].json);
    ok(all == templates * c.n && templates >= 20 && good == all,
       "%d of %d renderings of %d templates equal Jinja2's, %d of them errors", good, all,
       templates, errors);
}

/* ---- marks, errors, limits ---- */

/* The rendering with bytes from outside in upper case, or the error. */
static void marked(const char *what, const char *template, const char *vars, const char *want)
{
    struct err e = {0};
    struct jinja *t = NULL;
    struct jinja_text out = {0};
    int rc = jinja_parse(&t, template, strlen(template), "chat.jinja", &e);
    if (rc == 0)
        rc = render(t, vars, &out, &e);
    for (size_t i = 0; i < out.n; i++)
        if (out.mark[i] && out.s[i] >= 'a' && out.s[i] <= 'z')
            out.s[i] -= 32;
    ok(strstr(rc ? e.msg : out.s, want) == (rc ? e.msg : out.s), "%s: %s", what,
       rc ? e.msg : out.s);
    text_free(&out);
    jinja_free(t);
}

static void marks(void)
{
    const char *v = "{\"m\": \"abc\", \"l\": [\"x\", \"y\"], \"d\": {\"k\": \"v\"}}";
    marked("joined", "a{{ m }}b{{ 'c' + m + 'd' }}{{ m ~ 'e' }}", v, "aABCbcABCdABCe");
    marked("cut", "{{ ('a' + m + 'z')[1:3] }}{{ ('a' + m)[::-1] }}{{ (m + 'z')[-1] }}", v,
           "ABCBAaz");
    marked("methods", "{{ m.replace('b', 'q') }}{{ 'xbx'.replace('b', m) }}{{ ' '.join(l) }}", v,
           "AqCxABCxX Y");
    marked("split", "{{ (m + '-n-' + m).split('-') | join('+') }}{{ m | upper | lower | trim }}", v,
           "ABC+n+ABCABC");
    marked("a list's text", "{{ l }}{{ d | tojson }}{{ d }}", v,
           "['X', 'Y']{\"K\": \"V\"}{'K': 'V'}");
    marked(
        "captured",
        "{% set s %}a{{ m }}{% endset %}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ s }}{{ f(s) }}",
        v, "aABC<aABC>");
    marked("indented", "{{ (m + '\n' + m) | indent(2) }}", v, "ABC\n  ABC");
}

static void errors(void)
{
    marked("the line of an error", "a\n{% if true %}\n{{ x.y.z }}\n{% endif %}", "{}",
           "chat.jinja:3: 'x' is undefined");
    marked("the line of a refusal", "\n\n{{ x | from_json }}", "{}",
           "chat.jinja:3: the filter 'from_json' is not supported");
    marked("the line of a tag", "a\n{%- include 'x' %}", "{}",
           "chat.jinja:2: the tag 'include' is not supported");
    marked("the line where a tag begins", "a\n{{ b\n\n", "{}", "chat.jinja:2: the tag has no end");
    marked("the line of a string", "a\n{{\n'b }}\n", "{}", "chat.jinja:3: the string has no end");
    marked("raise_exception", "{{ raise_exception('roles must ' ~ 'alternate') }}", "{}",
           "chat.jinja:1: the template refuses: roles must alternate");
    marked("what would change data", "{{ l.append(1) }}", "{\"l\": []}",
           "chat.jinja:1: 'append (it would change its object)' is undefined");
    marked("a block without end", "{% for x in y %}\n\n", "{}",
           "chat.jinja:2: the template ends before endfor");
    marked("not UTF-8", "\xff", "{}", "chat.jinja: the template is not UTF-8");
    marked("whole numbers beyond 64 bits", "", "{\"a\": 99999999999999999999}",
           "JSON: a whole number beyond 64 bits");
}

static void uses(void)
{
    static const char text[] =
        "{{ a.b }}{% set c = 1 %}{% if d is defined %}{{ x(e=1) }}{% endif %}"
        "{% macro x(e) %}{% endmacro %}";
    struct err e = {0};
    struct jinja *t;
    ok(jinja_parse(&t, text, sizeof text - 1, "t", &e) == 0 && jinja_uses(t, "a") &&
           !jinja_uses(t, "b") && !jinja_uses(t, "c") && jinja_uses(t, "d") &&
           !jinja_uses(t, "e") && !jinja_uses(t, "f"),
       "variables that are read, not attributes and arguments of that name");
    jinja_free(t);
}

static char *repeated(const char *head, const char *part, int n, const char *tail)
{
    size_t k = strlen(part), h = strlen(head);
    char *s = malloc(h + k * (size_t)n + strlen(tail) + 1);
    memcpy(s, head, h);
    for (int i = 0; i < n; i++)
        memcpy(s + h + k * (size_t)i, part, k);
    memcpy(s + h + k * (size_t)n, tail, strlen(tail) + 1);
    return s;
}

static void limits(void)
{
    char *s;
    marked("a loop within loops without end",
           "{% set r = range(9999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
           "{}", "chat.jinja:1: the template takes more than 20000000 steps");
    marked("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}",
           "chat.jinja:1: more than 800 evaluations within each other");
    marked("two that call each other",
           "{% macro g() %}{{ f() }}{% endmacro %}{% macro f() %}{{ g() }}{% endmacro %}{{ f() }}",
           "{}", "chat.jinja:1: more than 800");
    marked("a text that doubles",
           "{% set ns = namespace(s='0123456789') %}{% for i in range(99) %}{% set ns.s = ns.s + "
           "ns.s %}{% endfor %}",
           "{}", "chat.jinja:1: the template needs more than 256 MiB");
    marked("a text times a number", "{{ 'x' * 99999999999 }}", "{}", "chat.jinja:1: the template");
    marked("a list that doubles",
           "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s "
           "%}{% endfor %}",
           "{}", "chat.jinja:1: the template");
    marked("a list within itself, deep",
           "{% set ns = namespace(s=[1]) %}{% for i in range(2000) %}{% set ns.s = [ns.s] "
           "%}{% endfor %}{{ ns.s }}",
           "{}", "chat.jinja:1: more than 800");
    s = repeated("{{ ", "(", 200, "1");
    marked("brackets", s, "{}", "chat.jinja:1: brackets are nested too deeply");
    free(s);
    s = repeated("", "{% if x %}", 200, "");
    marked("blocks", s, "{}", "chat.jinja:1: blocks are nested too deeply");
    free(s);
    s = repeated("{{ 1", " + 1", 5000, " }}");
    marked("a sum", s, "{}", "chat.jinja:1: an expression is nested too deeply");
    free(s);
    s = repeated("{{ ", "not ", 5000, "1 }}");
    marked("nots", s, "{}", "chat.jinja:1: an expression is nested too deeply");
    free(s);
    s = repeated("", "0123456789abcdef", 70000, "");
    marked("a large template", s, "{}", "chat.jinja: the template has 1120000 bytes");
    free(s);
    s = repeated("{{ 'a' | map('map'", ", 'map'", 20000, ") | list }}");
    marked("a map of maps", s, "{}", "chat.jinja:1: more than 800 evaluations within each other");
    free(s);
    /* what was short in steps and long in time */
    s = repeated("{% set ns = namespace(l=1) %}{% for i in range(9000) %}{% set ns.l = [ns.l] %}"
                 "{% endfor %}{% for i in range(99999) %}{{ [ns.l] | map(attribute='0",
                 ".0", 8000, "') | list | length }}{% endfor %}");
    marked("a long path of attributes", s, "{}", "chat.jinja:1: the template takes more than");
    free(s);
    char *sets = malloc(4300 * 20), *w = sets;
    for (int i = 0; i < 4000; i++)
        w += sprintf(w, "{%% set a%d = 1 %%}", i);
    s = repeated("{% for i in range(99999) %}", sets, 1, "{% endfor %}");
    marked("many variables", s, "{}", "chat.jinja:1: the template takes more than");
    free(s);
    for (int i = 0; i < 300; i++)
        w += sprintf(w, "{{ b%d }}", i);
    marked("more names", sets, "{}", "chat.jinja:1: more than 4096 different names");
    free(sets);
    s = repeated("{\"a\": ", "[", 5000, "");
    marked("deep variables", "", s, "more than 800 evaluations within each other");
    free(s);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return tool(argc, argv);
    golden();
    expressions();
    marks();
    errors();
    uses();
    limits();
    return done_testing();
}
