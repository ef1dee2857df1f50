/* score_eval - pass@k of gathered verdicts with its intervals, gates, and the score/1 record */
#include "score.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Mean of c/n over tasks as one fraction, rounded once, if all fits into the 53 bits of a double
 * (else NAN): 1/2 and not 0.49999999999999994 for 1/3 and 2/3. */
static double exact_mean(const struct score_set *s, const unsigned char *skip, long n_task)
{
    uint64_t lcm = 1, sum = 0, limit = (uint64_t)1 << 53;
    for (int i = 0; i < s->n_task; i++) {
        uint64_t n = (uint64_t)s->task[i].n, a = lcm, b = n;
        if (n == 0 || (skip && skip[i]))
            continue;
        while (b) { /* greatest common divisor */
            uint64_t t = a % b;
            a = b;
            b = t;
        }
        if (n / a > limit / (uint64_t)n_task / lcm)
            return NAN;
        lcm *= n / a;
    }
    for (int i = 0; i < s->n_task; i++)
        if (s->task[i].n && !(skip && skip[i]))
            sum += (uint64_t)s->task[i].c * (lcm / (uint64_t)s->task[i].n);
    return (double)sum / (double)(lcm * (uint64_t)n_task);
}

int score_eval_but(const struct score_set *s, const unsigned char *skip, long k, double level,
                   long boot, uint64_t seed, struct score *r, struct err *e)
{
    double *v = malloc(((size_t)s->n_task + 1) * sizeof *v);
    int left_out = 0, single = 1, rc;
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    *r = (struct score){.k = k, .level = level};
    for (int i = 0; i < s->n_task; i++) {
        const struct score_task *t = &s->task[i];
        if (skip && skip[i])
            continue;
        if (t->n < k) {
            left_out++;
            continue;
        }
        single &= t->n == 1;
        v[r->n_task++] = stats_pass_at_k(t->n, t->c, k);
        r->n_sample += t->n;
        r->passed += t->c;
    }
    if (r->n_task == 0) {
        free(v);
        return err_set(e, ERR_DATA, "%s: no task has %ld judged samples: pass@%ld has no value",
                       s->bench, k, k);
    }
    r->value = k == 1 ? exact_mean(s, skip, r->n_task) : NAN;
    if (isnan(r->value))
        r->value = stats_mean(v, (size_t)r->n_task);
    r->n_effective = stats_wilson_tasks(v, (size_t)r->n_task, (double)r->n_sample / (double)k,
                                        level, r->clustered);
    r->has_wilson = k == 1 && single;
    if (r->has_wilson)
        stats_wilson(r->passed, r->n_sample, level, r->wilson);
    rc = stats_bootstrap(v, (size_t)r->n_task, boot, level, seed, r->bootstrap, e);
    free(v);
    return rc ? rc : left_out;
}

int score_eval(const struct score_set *s, long k, double level, long boot, uint64_t seed,
               struct score *r, struct err *e)
{
    return score_eval_but(s, NULL, k, level, boot, seed, r, e);
}

/* ---- gates ---- */

int score_gate_parse(struct score_gate *g, const char *text, struct err *e)
{
    const char *p = text, *colon = strchr(text, ':');
    char *end;
    *g = (struct score_gate){.text = text};
    if (colon && (size_t)(colon - text) < sizeof g->bench) {
        memcpy(g->bench, text, (size_t)(colon - text));
        p = colon + 1;
    }
    if (strncmp(p, "pass@", 5) == 0 && p[5] >= '1' && p[5] <= '9') {
        g->k = strtol(p + 5, &end, 10);
        g->strict = strncmp(end, ">=", 2) != 0;
        if (*end == '>' && g->k <= 1000000) {
            p = end + 1 + !g->strict;
            g->wanted = strtod(p, &end);
            if (end > p && *end == 0 && g->wanted >= 0 && g->wanted <= 1)
                return 0;
        }
    }
    return err_set(e, ERR_USAGE, "%.100s: expected [BENCH:]pass@K>=X, X a fraction of 1", text);
}

int score_gate_applies(const struct score_gate *g, const struct score_set *s, const struct score *r)
{
    return g->k == r->k && (!g->bench[0] || strcmp(g->bench, s->bench) == 0);
}

int score_gate_met(const struct score_gate *g, const struct score *r)
{
    return g->strict ? r->clustered[0] > g->wanted : r->clustered[0] >= g->wanted;
}

/* ---- score/1 ---- */

static void pair(struct json_out *j, const char *key, const double v[2])
{
    json_key(j, key);
    json_begin(j, '[');
    json_num(j, v[0]);
    json_num(j, v[1]);
    json_end(j, ']');
}

static void null(struct json_out *j, const char *key)
{
    json_key(j, key);
    json_raw(j, "null");
}

static void write_ceiling(struct json_out *j, const struct score_set *s, const struct score *r)
{
    const struct score *a = r->adjusted;
    if (r->limit->ceiling < 0)
        null(j, "ceiling");
    else
        json_kv_int(j, "ceiling", r->limit->ceiling);
    json_kv_int(j, "ceiling_of", r->limit->n);
    json_key(j, "unsolvable");
    json_begin(j, '[');
    for (int i = 0; i < s->n_task; i++)
        if (r->limit->skip[i])
            json_str(j, s->task[i].id);
    json_end(j, ']');
    if (!a) {
        null(j, "adjusted");
        return;
    }
    json_key(j, "adjusted");
    json_begin(j, '{');
    json_kv_num(j, "value", a->value);
    json_kv_int(j, "passed", a->passed);
    json_kv_int(j, "n_task", a->n_task);
    json_kv_int(j, "n_sample", a->n_sample);
    pair(j, "clustered", a->clustered);
    pair(j, "bootstrap", a->bootstrap);
    json_end(j, '}');
}

static void write_gates(struct json_out *j, const struct score_set *s, const struct score *r)
{
    json_key(j, "gates");
    json_begin(j, '[');
    for (int i = 0; i < r->n_gate; i++) {
        if (!score_gate_applies(&r->gate[i], s, r))
            continue;
        json_begin(j, '{');
        json_kv_str(j, "gate", r->gate[i].text);
        json_kv_num(j, "wanted", r->gate[i].wanted);
        json_kv_num(j, "bound", r->clustered[0]);
        json_kv_bool(j, "met", score_gate_met(&r->gate[i], r));
        json_end(j, '}');
    }
    json_end(j, ']');
}

void score_metric(char *buf, size_t size, const struct score_set *s, long k)
{
    snprintf(buf, size, "pass@%ld%s%s", k, s->choice ? ", " : "", s->choice ? s->choice : "");
}

void score_json(struct json_out *j, const struct score_set *s, const struct score *r)
{
    char metric[SCORE_METRIC];
    int order[SCORE_KINDS], n = score_kinds(s->kind, order);
    score_metric(metric, sizeof metric, s, r->k);
    json_begin(j, '{');
    json_kv_str(j, "schema", "score/1");
    json_kv_str(j, "bench", s->bench);
    json_kv_str(j, "metric", metric);
    json_kv_num(j, "value", r->value);
    json_kv_int(j, "passed", r->passed);
    json_kv_int(j, "n_task", r->n_task);
    json_kv_int(j, "n_sample", r->n_sample);
    json_kv_num(j, "ci", r->level);
    if (r->has_wilson)
        pair(j, "wilson", r->wilson);
    else
        null(j, "wilson");
    pair(j, "bootstrap", r->bootstrap);
    pair(j, "clustered", r->clustered);
    json_kv_num(j, "n_effective", r->n_effective);
    if (r->limit)
        write_ceiling(j, s, r);
    if (r->gate)
        write_gates(j, s, r);
    json_kv_int(j, "harness_errors", s->n_harness);
    if (s->n_inproc)
        json_kv_int(j, "inproc", s->n_inproc);
    json_key(j, "flaky");
    json_begin(j, '[');
    for (int i = 0; i < s->n_task; i++)
        if (s->task[i].flaky)
            json_str(j, s->task[i].id);
    json_end(j, ']');
    json_key(j, "verdicts");
    json_begin(j, '{');
    for (int i = 0; i < n; i++)
        json_kv_int(j, score_kind(order[i]), s->kind[order[i]]);
    json_end(j, '}');
    json_end(j, '}');
}
