/* report_json - the report as one report/1 record: scores, differences, training, inputs */
#include "hash.h"
#include "report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void pair(struct json_out *j, const char *key, const double v[2])
{
    json_key(j, key);
    json_begin(j, '[');
    json_num(j, v[0]);
    json_num(j, v[1]);
    json_end(j, ']');
}

static void scores(struct json_out *j, const struct report *r)
{
    json_key(j, "scores");
    json_begin(j, '[');
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++) {
            const struct report_cell *c = &r->row[i].cell[k];
            if (!c->n_task)
                continue;
            json_begin(j, '{');
            json_kv_str(j, "bench", r->row[i].bench);
            json_kv_str(j, "metric", r->row[i].metric);
            json_kv_str(j, "run", r->run[k]);
            json_kv_num(j, "value", c->value);
            json_kv_num(j, "ci", c->level);
            pair(j, "interval", c->ci);
            json_kv_int(j, "passed", c->passed);
            json_kv_int(j, "n_task", c->n_task);
            json_kv_int(j, "n_sample", c->n_sample);
            json_key(j, "verdicts");
            if (c->verdicts)
                json_tree(j, c->verdicts);
            else
                json_raw(j, "null");
            json_end(j, '}');
        }
    json_end(j, ']');
}

static void left_out(struct json_out *j, const struct report *r)
{
    json_key(j, "left_out");
    json_begin(j, '[');
    for (int i = 0; i < r->n_left; i++) {
        const struct report_left *v = &r->left[i];
        json_begin(j, '{');
        json_kv_str(j, "bench", v->bench);
        json_kv_str(j, "run", r->run[v->run]);
        json_kv_int(j, "harness_errors", v->harness);
        if (v->of) {
            json_kv_int(j, "n_task", v->n);
            json_kv_int(j, "of", v->of);
        }
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void differences(struct json_out *j, const struct report *r)
{
    int n;
    struct report_difference *d = report_differences(r, &n);
    j->failed |= !d;
    json_key(j, "differences");
    json_begin(j, '[');
    for (int i = 0; d && i < n; i++) {
        json_begin(j, '{');
        json_kv_str(j, "bench", d[i].bench);
        json_kv_str(j, "a", d[i].a);
        json_kv_str(j, "b", d[i].b);
        json_kv_int(j, "n_task", d[i].n_task);
        json_kv_num(j, "difference", d[i].difference);
        pair(j, "interval", d[i].ci);
        json_kv_str(j, "test", d[i].paired_test ? "mcnemar" : "permutation");
        json_kv_num(j, "p", d[i].p);
        json_kv_num(j, "holm_p", d[i].p_adjusted);
        json_kv_bool(j, "real", d[i].p_adjusted < 0.05);
        json_end(j, '}');
    }
    json_end(j, ']');
    report_differences_free(d, d ? n : 0);
}

static void training(struct json_out *j, const struct report *r)
{
    json_key(j, "training");
    json_begin(j, '[');
    for (int i = 0; i < r->n_training; i++) {
        const struct report_training *t = &r->training[i];
        long n = t->loss.n, m = t->val.n;
        json_begin(j, '{');
        json_kv_str(j, "file", t->name);
        json_kv_int(j, "steps", n);
        json_kv_num(j, "first_loss", n ? t->loss.v[0].value : NAN);
        json_kv_num(j, "last_loss", n ? t->loss.v[n - 1].value : NAN);
        json_kv_num(j, "first_validation_loss", m ? t->val.v[0].value : NAN);
        json_kv_num(j, "last_validation_loss", m ? t->val.v[m - 1].value : NAN);
        json_end(j, '}');
    }
    json_end(j, ']');
}

static int inputs(struct json_out *j, const struct report *r, struct err *e)
{
    struct stat st;
    char hex[65];
    json_key(j, "inputs");
    json_begin(j, '[');
    for (int i = 0; i < r->n_file; i++) {
        const char *path = r->file[i].path;
        hex[0] = 0;
        if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
            hash_sha256_file(path, hex, e) < 0)
            return e->code;
        json_begin(j, '{');
        json_kv_str(j, "path", path);
        json_kv_str(j, "schema", r->file[i].schema);
        json_kv_int(j, "records", r->file[i].n);
        json_kv_str(j, "sha256", hex);
        json_end(j, '}');
    }
    json_end(j, ']');
    return 0;
}

int report_json(const struct report *r, const char *title, FILE *out, struct err *e)
{
    struct json_out buf = {0}, *j = &buf;
    json_begin(j, '{');
    json_kv_str(j, "schema", "report/1");
    json_kv_str(j, "title", title);
    scores(j, r);
    left_out(j, r);
    differences(j, r);
    json_key(j, "oracle");
    json_tree(j, r->oracle);
    training(j, r);
    int rc = inputs(j, r, e);
    json_end(j, '}');
    if (rc == 0)
        rc = json_line(j, out, e);
    free(j->buf);
    return rc;
}
