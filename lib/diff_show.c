/* diff_show - a comparison of two models as JSON and for people */
#include "diff.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which tensors, in which order ---- */

static double rank_of(const struct diff_tensor *t)
{
    return t->state > DIFF_BEYOND || t->not_same ? INFINITY : diff_rel_rms(&t->sum);
}

static int worst_first(const void *a, const void *b)
{
    const struct diff_tensor *x = *(const struct diff_tensor *const *)a,
                             *y = *(const struct diff_tensor *const *)b;
    const double r = rank_of(x), s = rank_of(y);
    return r < s ? 1 : r > s ? -1 : (x > y) - (x < y);
}

/* *n: at most so many, 0: all; the number that there are. */
static const struct diff_tensor **choose(const struct diff *d, long *n, struct err *e)
{
    const struct diff_tensor **v = malloc(((size_t)d->n + 1) * sizeof *v);
    if (!v) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    for (int i = 0; i < d->n; i++)
        v[i] = &d->t[i];
    if (*n)
        qsort(v, (size_t)d->n, sizeof *v, worst_first);
    if (!*n || *n > d->n)
        *n = d->n;
    return v;
}

/* ---- JSON ---- */

static void put_type(struct json_out *j, const char *key, const struct tensor *t, int there)
{
    json_key(j, key);
    if (!there) {
        json_raw(j, "null");
        return;
    }
    json_begin(j, '{');
    json_kv_str(j, "type", tensor_type_name(t->type));
    json_key(j, "shape");
    json_begin(j, '[');
    for (int i = 0; i < t->ndim; i++)
        json_int(j, (long long)t->dim[i]);
    json_end(j, ']');
    json_end(j, '}');
}

static void put_sums(struct json_out *j, const struct diff_sums *s)
{
    json_kv_num(j, "max", s->max);
    json_kv_num(j, "rms", diff_rms(s));
    json_kv_num(j, "rel_rms", diff_rel_rms(s));
    json_kv_num(j, "cosine", diff_cosine(s));
}

static void put_tensor(struct json_out *j, const struct diff_tensor *t)
{
    json_begin(j, '{');
    json_kv_str(j, "name", t->state == DIFF_ONLY_B ? t->b.name : t->a.name);
    json_kv_str(j, "state", diff_state_name(t->state));
    put_type(j, "a", &t->a, t->state != DIFF_ONLY_B);
    put_type(j, "b", &t->b, t->state != DIFF_ONLY_A);
    if (t->state <= DIFF_BEYOND) {
        put_sums(j, &t->sum);
        json_kv_int(j, "at", (long long)t->at);
        if (t->not_same)
            json_kv_int(j, "not_finite", (long long)t->not_same);
    }
    json_end(j, '}');
}

static void put_side(struct json_out *j, const char *key, const char *path, const char *why)
{
    json_key(j, key);
    json_begin(j, '{');
    json_kv_str(j, "path", path);
    if (*why)
        json_kv_str(j, "note", why);
    json_end(j, '}');
}

static void put_notes(struct json_out *j, const struct diff *d)
{
    json_key(j, "differences");
    json_begin(j, '[');
    for (int i = 0; i < d->n_note; i++) {
        json_begin(j, '{');
        json_kv_str(j, "what", d->note[i].what);
        json_kv_str(j, "a", d->note[i].a);
        json_kv_str(j, "b", d->note[i].b);
        json_kv_bool(j, "minor", d->note[i].minor);
        json_end(j, '}');
    }
    json_end(j, ']');
}

int diff_json(struct json_out *j, const struct diff *d, long limit, struct err *e)
{
    const struct diff_tensor **v = choose(d, &limit, e);
    if (!v)
        return e->code;
    json_begin(j, '{');
    json_kv_str(j, "schema", "diff/1");
    json_kv_bool(j, "same", d->same);
    put_side(j, "a", d->path[0], d->why[0]);
    put_side(j, "b", d->path[1], d->why[1]);
    put_notes(j, d);
    json_key(j, "count");
    json_begin(j, '{');
    json_kv_int(j, "tensors", d->n);
    for (int i = 0; i < DIFF_STATES; i++)
        json_kv_int(j, diff_state_name(i), d->count[i]);
    json_end(j, '}');
    json_key(j, "all");
    json_begin(j, '{');
    json_kv_num(j, "values", d->all.count);
    put_sums(j, &d->all);
    json_end(j, '}');
    if (d->n_prompt || d->n_skipped) {
        json_key(j, "logits");
        json_begin(j, '{');
        json_kv_int(j, "texts", d->n_prompt);
        json_kv_int(j, "texts_with_other_ids", d->n_skipped);
        if (d->has_logits)
            kld_json(j, &d->logits);
        json_end(j, '}');
    }
    json_key(j, "tensors");
    json_begin(j, '[');
    for (long i = 0; i < limit; i++)
        put_tensor(j, v[i]);
    json_end(j, ']');
    json_end(j, '}');
    free(v);
    return 0;
}

/* ---- for people ---- */

/* Text from a file may hold control characters: a terminal must not obey them. */
static void put_text(FILE *out, const char *s)
{
    for (; *s; s++)
        fputc((unsigned char)*s < 32 || *s == 127 ? '?' : *s, out);
}

static void print_tensor(FILE *out, const struct diff_tensor *t)
{
    const struct tensor *have = t->state == DIFF_ONLY_B ? &t->b : &t->a;
    char shape[200], other[200], types[40];
    tensor_shape(have, shape, sizeof shape);
    snprintf(types, sizeof types, "%s %s",
             t->state == DIFF_ONLY_B ? "-" : tensor_type_name(t->a.type),
             t->state == DIFF_ONLY_A ? "-" : tensor_type_name(t->b.type));
    fprintf(out, "%-13s %-16s ", types, shape);
    if (t->state <= DIFF_BEYOND)
        fprintf(out, "%-10.4g %-10.4g %-10.4g %.7f  ", t->sum.max, diff_rms(&t->sum),
                diff_rel_rms(&t->sum), diff_cosine(&t->sum));
    put_text(out, have->name);
    if (t->state == DIFF_SHAPE)
        fprintf(out, ": shape %s in b", tensor_shape(&t->b, other, sizeof other));
    else if (t->state > DIFF_BEYOND)
        fprintf(out, ": %s", t->state == DIFF_BYTES ? "other bytes" : diff_state_name(t->state));
    if (t->not_same)
        fprintf(out, ": %" PRIu64 " values that are NaN or infinite in one only", t->not_same);
    fputc('\n', out);
}

static void print_logits(FILE *out, const struct diff *d)
{
    const struct kld_summary *s = &d->logits;
    if (d->n_skipped)
        fprintf(out, "%d texts have other ids in b: left out\n", d->n_skipped);
    if (!d->has_logits)
        return;
    fprintf(out,
            "logits: %zu positions of %d texts: KL divergence mean %.4g +- %.4g, median %.4g, "
            "99 %% %.4g, max %.4g; same first choice %.2f %%\n",
            s->n, d->n_prompt, s->kl.v, s->kl.se, s->kl_q[5], s->kl_q[2], s->kl_q[0],
            100 * s->same_top.v);
}

int diff_text(FILE *out, const struct diff *d, long limit, int all, struct err *e)
{
    const struct diff_tensor **v = choose(d, &limit, e);
    int head = 0;
    if (!v)
        return e->code;
    for (int i = 0; i < 2; i++) {
        fprintf(out, "%c: ", 'a' + i);
        put_text(out, d->path[i]);
        if (*d->why[i])
            fputs("\n   incomplete: ", out), put_text(out, d->why[i]);
        fputc('\n', out);
    }
    for (int i = 0; i < d->n_note; i++) {
        put_text(out, d->note[i].what);
        fputs(": ", out);
        put_text(out, d->note[i].a);
        fputs(" | ", out);
        put_text(out, d->note[i].b);
        fputs(d->note[i].minor ? " (minor)\n" : "\n", out);
    }
    for (long i = 0; i < limit; i++) {
        if (v[i]->state == DIFF_EQUAL && !all)
            continue;
        if (!head++)
            fprintf(out, "%-13s %-16s %-10s %-10s %-10s %-9s  tensor\n", "types", "shape", "max",
                    "rms", "relative", "cosine");
        print_tensor(out, v[i]);
    }
    fprintf(out, "%d tensors:", d->n);
    for (int i = 0; i < DIFF_STATES; i++)
        if (d->count[i])
            fprintf(out, " %d %s", d->count[i], diff_state_name(i));
    fprintf(out, "; of all values max %.4g, rms %.4g, relative %.4g, cosine %.7f\n", d->all.max,
            diff_rms(&d->all), diff_rel_rms(&d->all), diff_cosine(&d->all));
    print_logits(out, d);
    free(v);
    return 0;
}
