/* speed_text - sums of repetitions, peak memory, and the rows as table, JSON, CSV or Markdown */
#include "json.h"
#include "speed.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct speed_sum speed_sum(const double *v, int n)
{
    struct speed_sum s = {NAN, NAN, NAN, NAN, NAN};
    double *sorted = n > 0 ? malloc((size_t)n * sizeof *sorted) : NULL, sum = 0, squares = 0;
    if (!sorted)
        return s;
    memcpy(sorted, v, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    for (int i = 0; i < n; i++)
        sum += v[i];
    s.mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (v[i] - s.mean) * (v[i] - s.mean);
    s.sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
    s.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    s.min = sorted[0];
    s.max = sorted[n - 1];
    free(sorted);
    return s;
}

double speed_percentile(const double *sorted, int n, double p)
{
    int rank = (int)ceil(p / 100 * n);
    if (n < 1)
        return NAN;
    return sorted[rank < 1 ? 0 : rank > n ? n - 1 : rank - 1];
}

size_t speed_peak(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    size_t kb = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %zu kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb * 1024;
}

void speed_peak_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w"); /* 5: proc(5); absent on some kernels */
    if (f) {
        fputs("5\n", f);
        fclose(f);
    }
}

/* ---- JSON ---- */

static void json_row(struct json_out *j, const struct speed_row *r)
{
    static const double p[] = {50, 90, 99, 100};
    static const char *const name[] = {"p50", "p90", "p99", "max"};
    struct speed_sum s = speed_sum(r->value, r->n);
    json_begin(j, '{');
    json_kv_str(j, "test", r->name);
    json_kv_str(j, "unit", r->unit);
    json_kv_num(j, "median", s.median);
    json_kv_num(j, "mean", s.mean);
    json_kv_num(j, "sd", s.sd);
    json_kv_num(j, "min", s.min);
    json_kv_num(j, "max", s.max);
    json_key(j, "values");
    json_begin(j, '[');
    for (int i = 0; i < r->n; i++)
        json_num(j, r->value[i]);
    json_end(j, ']');
    if (r->step) {
        json_key(j, "step_ms");
        json_begin(j, '{');
        for (size_t i = 0; i < sizeof p / sizeof *p; i++)
            json_kv_num(j, name[i], speed_percentile(r->step, r->n_step, p[i]) * 1e3);
        json_end(j, '}');
    }
    if (r->kv)
        json_kv_int(j, "kv_bytes", (long long)r->kv);
    if (r->peak)
        json_kv_int(j, "peak_bytes", (long long)r->peak);
    json_end(j, '}');
}

static int as_json(FILE *f, const struct speed *s, const struct speed_head *h)
{
    struct json_out j = {0};
    struct err e = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "speed/1");
    json_kv_str(&j, "model", h->model);
    json_kv_int(&j, "file_bytes", (long long)h->file);
    json_kv_str(&j, "device", h->device);
    json_kv_int(&j, "threads", h->threads);
    json_kv_str(&j, "kv_type", h->kv_type);
    json_kv_str(&j, "precision", h->precision);
    json_kv_int(&j, "repetitions", h->reps);
    json_key(&j, "tests");
    json_begin(&j, '[');
    for (int i = 0; i < s->n; i++)
        json_row(&j, &s->row[i]);
    json_end(&j, ']');
    json_end(&j, '}');
    int rc = json_line(&j, f, &e);
    free(j.buf);
    return rc;
}

/* ---- CSV ---- */

/* A text as a CSV field: quoted, quotes doubled (RFC 4180). */
static void csv_str(FILE *f, const char *s)
{
    putc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            putc('"', f);
        putc(*s, f);
    }
    putc('"', f);
}

static void as_csv(FILE *f, const struct speed *s, const struct speed_head *h)
{
    fputs("model,file_bytes,device,threads,kv_type,test,unit,repetitions,median,mean,sd,min,max,"
          "p50_ms,p90_ms,p99_ms,max_ms,kv_bytes,peak_bytes\n",
          f);
    for (int i = 0; i < s->n; i++) {
        const struct speed_row *r = &s->row[i];
        struct speed_sum m = speed_sum(r->value, r->n);
        csv_str(f, h->model);
        fprintf(f, ",%zu,%s,%d,%s,%s,%s,%d,%.6g,%.6g,%.6g,%.6g,%.6g", h->file, h->device,
                h->threads, h->kv_type, r->name, r->unit, r->n, m.median, m.mean, m.sd, m.min,
                m.max);
        if (r->step)
            fprintf(f, ",%.4f,%.4f,%.4f,%.4f", speed_percentile(r->step, r->n_step, 50) * 1e3,
                    speed_percentile(r->step, r->n_step, 90) * 1e3,
                    speed_percentile(r->step, r->n_step, 99) * 1e3, r->step[r->n_step - 1] * 1e3);
        else
            fputs(",,,,", f);
        fprintf(f, ",%zu,%zu\n", r->kv, r->peak);
    }
}

/* ---- table and Markdown: the same cells ---- */

enum { COLUMNS = 9, CELL = 48 };
static const char *const title[COLUMNS] = {"test",   "median", "unit",   "+-", "p50 ms",
                                           "p90 ms", "p99 ms", "max ms", "MiB"};

static const char *mib(size_t bytes, char buf[CELL])
{
    snprintf(buf, CELL, "%.0f", (double)bytes / 1048576);
    return buf;
}

/* Four significant digits, no exponent in the range of speeds and times. */
static void number(char cell[CELL], double v)
{
    int digits = v >= 1000 ? 0 : v >= 100 ? 1 : v >= 10 ? 2 : v >= 1 ? 3 : v >= 0.1 ? 4 : 5;
    snprintf(cell, CELL, "%.*f", digits, v);
}

static void cells(const struct speed_row *r, char cell[COLUMNS][CELL])
{
    static const double p[] = {50, 90, 99, 100};
    struct speed_sum s = speed_sum(r->value, r->n);
    snprintf(cell[0], CELL, "%s", r->name);
    number(cell[1], s.median);
    snprintf(cell[2], CELL, "%s", r->unit);
    snprintf(cell[3], CELL, "%.1f %%", s.mean > 0 ? 100 * s.sd / s.mean : 0);
    for (int i = 0; i < 4; i++)
        if (r->step)
            snprintf(cell[4 + i], CELL, "%.2f", speed_percentile(r->step, r->n_step, p[i]) * 1e3);
        else
            cell[4 + i][0] = 0;
    if (r->peak)
        mib(r->peak, cell[8]);
    else
        cell[8][0] = 0;
}

static void line(FILE *f, char cell[COLUMNS][CELL], const int *width, int md)
{
    for (int c = 0; c < COLUMNS; c++) {
        int left = c == 0 || c == 2; /* texts to the left, numbers to the right */
        fprintf(f, "%s%*s", md ? "| " : c ? "  " : "", left ? -width[c] : width[c], cell[c]);
        if (md)
            putc(' ', f);
    }
    fputs(md ? "|\n" : "\n", f);
}

static void as_table(FILE *f, const struct speed *s, const struct speed_head *h, int md)
{
    char cell[COLUMNS][CELL], size[CELL];
    int width[COLUMNS];
    for (int c = 0; c < COLUMNS; c++)
        width[c] = (int)strlen(title[c]);
    for (int i = 0; i < s->n; i++) {
        cells(&s->row[i], cell);
        for (int c = 0; c < COLUMNS; c++)
            width[c] = (int)strlen(cell[c]) > width[c] ? (int)strlen(cell[c]) : width[c];
    }
    fprintf(f, "%s: %s MiB, %s, %d threads, KV %s, %d repetitions\n\n", h->model,
            mib(h->file, size), h->device, h->threads, h->kv_type, h->reps);
    for (int c = 0; c < COLUMNS; c++)
        snprintf(cell[c], CELL, "%s", title[c]);
    line(f, cell, width, md);
    if (md) {
        for (int c = 0; c < COLUMNS; c++)
            fputs(c == 0 || c == 2 ? "|---" : "|--:", f);
        fputs("|\n", f);
    }
    for (int i = 0; i < s->n; i++) {
        cells(&s->row[i], cell);
        line(f, cell, width, md);
    }
}

char *speed_text(const struct speed *s, const struct speed_head *h, enum speed_format format,
                 size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    int failed = 0;
    if (!f)
        return NULL;
    if (format == SPEED_JSON)
        failed = as_json(f, s, h) < 0;
    else if (format == SPEED_CSV)
        as_csv(f, s, h);
    else
        as_table(f, s, h, format == SPEED_MD);
    failed |= ferror(f) != 0;
    if (fclose(f) || failed) {
        free(text);
        return NULL;
    }
    return text;
}
