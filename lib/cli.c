/* cli - option tables, help, messages, progress: the only part of lib that prints and exits */
#include "cli.h"
#include "json.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int cli_quiet, cli_verbose;
static const struct cli *self;

enum { OPT_JSON = 1000, OPT_FIRST = 2000, MAX_OPTS = 100 };

const char *cli_name(void)
{
    return self ? self->name : "apr";
}

static void value_of(const struct cli_opt *o, char *buf, size_t size)
{
    buf[0] = 0;
    switch (o->type) {
    case CLI_T_FLAG:
        snprintf(buf, size, "%s", *(int *)o->var ? "true" : "false");
        break;
    case CLI_T_INT:
        snprintf(buf, size, "%ld", *(long *)o->var);
        break;
    case CLI_T_FLOAT:
        snprintf(buf, size, "%.17g", *(double *)o->var);
        if (strtod(buf, NULL) == *(double *)o->var) {
            for (int digits = 1; digits < 17;
                 digits++) { /* the shortest that reads back the same */
                snprintf(buf, size, "%.*g", digits, *(double *)o->var);
                if (strtod(buf, NULL) == *(double *)o->var)
                    break;
            }
        }
        break;
    case CLI_T_STR:
    case CLI_T_CHOICE:
        snprintf(buf, size, "%s", *(const char **)o->var ? *(const char **)o->var : "");
        break;
    case CLI_T_LIST:
        for (int i = 0; i < ((struct cli_list *)o->var)->n; i++) {
            size_t n = strlen(buf);
            snprintf(buf + n, size - n, "%s%s", i ? "," : "", ((struct cli_list *)o->var)->v[i]);
        }
        break;
    case CLI_T_END:
        break;
    }
}

static const char *type_name(const struct cli_opt *o)
{
    static const char *const names[] = {"", "flag", "int", "float", "string", "choice", "list"};
    return names[o->type];
}

const char *cli_value(const char *name, char *buf, size_t size)
{
    for (const struct cli_opt *o = self->opts; o->type != CLI_T_END; o++)
        if (strcmp(o->name, name) == 0) {
            value_of(o, buf, size);
            return buf;
        }
    return NULL;
}

char *cli_args_json(void)
{
    struct json_out j = {0};
    char buf[4096];
    json_begin(&j, '{');
    for (const struct cli_opt *o = self ? self->opts : NULL; o && o->type != CLI_T_END; o++) {
        value_of(o, buf, sizeof buf);
        json_key(&j, o->name);
        if (o->type == CLI_T_FLAG || o->type == CLI_T_INT || o->type == CLI_T_FLOAT)
            json_raw(&j, buf);
        else
            json_str(&j, buf);
    }
    json_end(&j, '}');
    return json_take(&j, NULL);
}

/* {"tool":..., "output":1, "options":[{"name","letter","type","arg","default","help","min","max"}]}
 */
static void print_options(void)
{
    struct json_out j = {0};
    char buf[4096];
    json_begin(&j, '{');
    json_kv_str(&j, "tool", self->name);
    json_kv_str(&j, "version", APR_VERSION);
    json_kv_int(&j, "output", self->output_version);
    json_key(&j, "options");
    json_begin(&j, '[');
    for (const struct cli_opt *o = self->opts; o->type != CLI_T_END; o++) {
        json_begin(&j, '{');
        json_kv_str(&j, "name", o->name);
        if (o->letter)
            json_kv_str(&j, "letter", (char[]){o->letter, 0});
        json_kv_str(&j, "type", type_name(o));
        if (o->arg)
            json_kv_str(&j, "arg", o->arg);
        value_of(o, buf, sizeof buf);
        json_kv_str(&j, "default", buf);
        if (o->type == CLI_T_INT || o->type == CLI_T_FLOAT) {
            json_key(&j, "min");
            json_num(&j, o->min);
            json_key(&j, "max");
            json_num(&j, o->max);
        }
        json_kv_str(&j, "help", o->help);
        json_end(&j, '}');
    }
    json_end(&j, ']');
    json_end(&j, '}');
    char *s = json_take(&j, NULL);
    puts(s);
    free(s);
}

static void print_help(FILE *f)
{
    char buf[4096];
    fprintf(f, "%s - %s\n\nusage: %s %s\n\n", self->name, self->what, self->name, self->usage);
    for (const struct cli_opt *o = self->opts; o->type != CLI_T_END; o++) {
        char head[80];
        snprintf(head, sizeof head, "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        fprintf(f, "  %-28s %s", head, o->help);
        value_of(o, buf, sizeof buf);
        if (o->type != CLI_T_FLAG && buf[0])
            fprintf(f, " (%s)", buf);
        fputc('\n', f);
    }
    fprintf(f, "  %-28s %s\n  %-28s %s\n  %-28s %s\n  %-28s %s\n  %-28s %s\n", "-q, --quiet",
            "no warnings, no progress", "-v, --verbose", "progress even if stderr is no terminal",
            "    --options json", "this table as JSON", "-h, --help", "this text", "-V, --version",
            "version and output format");
    if (self->example)
        fprintf(f, "\nexample: %s\n", self->example);
    if (self->see)
        fprintf(f, "see also: %s\n", self->see);
}

static int line_open; /* a line of progress, which the next message overwrites */

/* One line. Messages quote what files and command lines hold: that must neither steer a terminal nor look like a
 * line of ours, so bytes that are no printable text are written as \xNN. */
static void say(const char *text)
{
    if (line_open)
        fputs("\r\033[K", stderr);
    line_open = 0;
    fprintf(stderr, "%s: ", cli_name());
    for (const char *s = text; *s;) {
        unsigned char c = (unsigned char)*s;
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        int c1 = c == 0xc2 && (unsigned char)s[1] < 0xa0; /* U+0080 to U+009F */
        if (c < 0x20 || c == 0x7f || c1 || strnlen(s, n) < n || !utf8_valid(s, n)) {
            fprintf(stderr, "\\x%02x", c);
            s++;
        } else {
            fwrite(s, 1, n, stderr);
            s += n;
        }
    }
    fputc('\n', stderr);
}

static void vsay(const char *fmt, va_list ap)
{
    char text[4096];
    vsnprintf(text, sizeof text, fmt, ap);
    say(text);
}

void cli_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsay(fmt, ap);
    va_end(ap);
    fprintf(stderr, "usage: %s %s\n", cli_name(), self ? self->usage : "");
    exit(64);
}

void cli_die(const struct err *e)
{
    fflush(stdout);
    say(e->msg[0] ? e->msg : err_text(e->code));
    exit(err_exit_code(e->code));
}

void cli_warn(const char *fmt, ...)
{
    va_list ap;
    if (cli_quiet)
        return;
    va_start(ap, fmt);
    vsay(fmt, ap);
    va_end(ap);
}

int cli_choice_has(const char *choices, const char *s)
{
    size_t n = strlen(s);
    for (const char *p = choices; *p;) {
        size_t k = strcspn(p, "|");
        if (k == n && strncmp(p, s, n) == 0)
            return 1;
        p += k + (p[k] == '|');
    }
    return 0;
}

static void take(const struct cli_opt *o, const char *arg)
{
    char *end;
    errno = 0;
    switch (o->type) {
    case CLI_T_FLAG:
        if (!arg || strcmp(arg, "true") == 0)
            *(int *)o->var = 1;
        else if (strcmp(arg, "false") == 0)
            *(int *)o->var = 0;
        else
            cli_usage("--%s: expected true or false, found '%s'", o->name, arg);
        break;
    case CLI_T_INT: {
        long v = strtol(arg, &end, 10);
        if (*end && strpbrk(end, "eE.")) { /* 1e6 */
            double d = strtod(arg, &end);
            if (d != floor(d) || fabs(d) > 9e15)
                cli_usage("--%s: expected a whole number, found '%s'", o->name, arg);
            v = (long)d;
        }
        if (end == arg || *end || errno)
            cli_usage("--%s: expected a whole number, found '%s'", o->name, arg);
        if ((double)v < o->min || (double)v > o->max)
            cli_usage("--%s: expected %.0f to %.0f, found %ld", o->name, o->min, o->max, v);
        *(long *)o->var = v;
        break;
    }
    case CLI_T_FLOAT: {
        double v = strtod(arg, &end);
        if (end == arg || *end || !isfinite(v))
            cli_usage("--%s: expected a number, found '%s'", o->name, arg);
        if (v < o->min || v > o->max)
            cli_usage("--%s: expected %g to %g, found %g", o->name, o->min, o->max, v);
        *(double *)o->var = v;
        break;
    }
    case CLI_T_CHOICE:
        if (!cli_choice_has(o->arg, arg))
            cli_usage("--%s: expected one of %s, found '%s'", o->name, o->arg, arg);
        *(const char **)o->var = arg;
        break;
    case CLI_T_STR:
        *(const char **)o->var = arg;
        break;
    case CLI_T_LIST: {
        struct cli_list *l = o->var;
        const char **v = realloc(l->v, (size_t)(l->n + 1) * sizeof *v);
        if (!v)
            cli_die(&(struct err){ERR_NOMEM, "out of memory"});
        l->v = v;
        l->v[l->n++] = arg;
        break;
    }
    case CLI_T_END:
        break;
    }
}

void cli_parse(const struct cli *c, int *argc, char ***argv)
{
    struct option lo[MAX_OPTS + 6];
    char so[2 * MAX_OPTS + 16] = "hVqv";
    int n = 0, ch;
    self = c;
    for (const struct cli_opt *o = c->opts; o->type != CLI_T_END && n < MAX_OPTS; o++, n++) {
        lo[n] =
            (struct option){o->name, o->type == CLI_T_FLAG ? optional_argument : required_argument,
                            NULL, OPT_FIRST + n};
        if (o->letter) {
            char s[3] = {o->letter, o->type == CLI_T_FLAG ? 0 : ':', 0};
            strcat(so, s); /* room for MAX_OPTS letters with their colons, by the size above */
        }
    }
    lo[n] = (struct option){"help", no_argument, NULL, 'h'};
    lo[n + 1] = (struct option){"version", no_argument, NULL, 'V'};
    lo[n + 2] = (struct option){"quiet", no_argument, NULL, 'q'};
    lo[n + 3] = (struct option){"verbose", no_argument, NULL, 'v'};
    lo[n + 4] = (struct option){"options", required_argument, NULL, OPT_JSON};
    lo[n + 5] = (struct option){NULL, 0, NULL, 0};
    opterr = 0;
    while ((ch = getopt_long(*argc, *argv, so, lo, NULL)) != -1) {
        if (ch == 'h') {
            print_help(stdout);
            exit(cli_exit(0));
        } else if (ch == 'V') {
            printf("%s %s output=%d\n", c->name, APR_VERSION, c->output_version);
            exit(cli_exit(0));
        } else if (ch == 'q') {
            cli_quiet = 1;
        } else if (ch == 'v') {
            cli_verbose = 1;
        } else if (ch == OPT_JSON) {
            if (strcmp(optarg, "json"))
                cli_usage("--options: expected json, found '%s'", optarg);
            print_options();
            exit(cli_exit(0));
        } else if (ch == '?') {
            if (optopt && optopt < 256)
                cli_usage("unknown option or missing argument: -%c", optopt);
            cli_usage("unknown option or missing argument: %s", (*argv)[optind - 1]);
        } else if (ch >= OPT_FIRST) {
            take(&c->opts[ch - OPT_FIRST], optarg);
        } else {
            for (const struct cli_opt *o = c->opts; o->type != CLI_T_END; o++)
                if (o->letter == ch)
                    take(o, optarg);
        }
    }
    *argv += optind;
    *argc -= optind;
}

int cli_exit(int status)
{
    if (fflush(stdout) || ferror(stdout) || fclose(stdout)) {
        if (errno == EPIPE)
            return status;
        fprintf(stderr, "%s: standard output: %s\n", cli_name(), strerror(errno));
        return 74;
    }
    return status;
}

/* Columns of the terminal that standard error is; 0: it is none, or does not say. */
static int columns(void)
{
    struct winsize w;
    return isatty(2) && ioctl(2, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

static void progress_line(struct cli_progress *p, double done, const char *extra, double now)
{
    double dt = now - p->start, rate = dt > 0 ? done / dt : 0;
    const int width = columns();
    char line[512];
    FILE *f = fmemopen(line, sizeof line, "w");
    line[0] = 0;
    if (!f)
        return;
    fprintf(f, "%s: ", p->what);
    if (p->total > 0)
        fprintf(f, "%.0f/%.0f %s (%.0f %%)", done, p->total, p->unit, 100 * done / p->total);
    else
        fprintf(f, "%.0f %s", done, p->unit);
    fprintf(f, rate < 10 ? ", %.2f/s" : ", %.0f/s", rate);
    if (p->total > 0 && rate > 0 && done < p->total) {
        long left = (long)((p->total - done) / rate);
        fprintf(f, ", %ld:%02ld left", left / 60, left % 60);
    }
    fprintf(f, "%s%s", extra ? ", " : "", extra ? extra : "");
    fclose(f);
    line[sizeof line - 1] = 0;
    if (width > 1 && width < (int)sizeof line)
        line[width - 1] = 0;
    fprintf(stderr, "%s%s%s", isatty(2) ? "\r\033[K" : "", line, isatty(2) ? "" : "\n");
    fflush(stderr);
    line_open = isatty(2);
    p->shown = 1;
}

int cli_shows_progress(void)
{
    return !cli_quiet && (cli_verbose || isatty(2));
}

void cli_progress(struct cli_progress *p, double done, const char *extra)
{
    double now = clock_now();
    if (p->start == 0)
        p->start = p->last = now;
    if (!cli_shows_progress() || now - p->last < 1)
        return;
    p->last = now;
    progress_line(p, done, extra, now);
}

void cli_progress_end(struct cli_progress *p, double done, const char *extra)
{
    if (cli_quiet || !(cli_verbose || (p->shown && isatty(2))))
        return;
    if (p->start == 0)
        p->start = clock_now();
    progress_line(p, done, extra, clock_now());
    if (isatty(2))
        fputc('\n', stderr);
    line_open = 0;
}

void *cli_malloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (!p)
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    return p;
}

char *cli_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(cli_malloc(n), s, n);
}
