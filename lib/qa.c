/* qa - the twelve gates one after another, and the report */
#include "qa.h"
#include "clock.h"
#include "qa_impl.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ENOUGH = 2048 }; /* positions that the gates need at most */

static const char *const names[QA_N] = {
#define X(id, name, skip) name,
    QA_GATES(X)
#undef X
};
static const struct {
    qa_fn *fn;
    int needs; /* 0: nothing, 1: a file that can be read, 2: a model that loads */
} gates[QA_N] = {[QA_CAPABILITY] = {qa_capability, 1}, [QA_CONTRACT] = {qa_contract, 1},
                 [QA_METADATA] = {qa_metadata, 1},     [QA_GOLDEN] = {qa_golden, 2},
                 [QA_THROUGHPUT] = {qa_throughput, 2}, [QA_REGRESSION] = {qa_regression, 0},
                 [QA_FORMATS] = {qa_formats, 2},       [QA_SPEEDUP] = {qa_speedup, 2},
                 [QA_OLLAMA] = {qa_ollama, 2},         [QA_PTX] = {qa_ptx, 2},
                 [QA_ISOLATION] = {qa_isolation, 2},   [QA_CLASSIFIER] = {qa_classifier, 1}};

const char *qa_status_name(enum qa_status s)
{
    return s == QA_PASS ? "pass" : s == QA_FAIL ? "fail" : "skip";
}

void qa_say(struct qa_gate *g, enum qa_status s, const char *fmt, ...)
{
    va_list ap;
    g->status = s;
    va_start(ap, fmt);
    vsnprintf(g->message, sizeof g->message, fmt, ap);
    va_end(ap);
}

/* ---- an earlier report ---- */

static int read_previous(struct qa_job *j, const char *path, struct err *e)
{
    struct qa_previous *p = &j->previous;
    cJSON *v = json_load(path, e);
    if (!v)
        return e->code;
    const char *arch = json_get_str(v, "architecture", "", e);
    const double params = json_get_num(v, "param_count", 0, e);
    if (!e->code && strcmp(json_get_str(v, "schema", "", e), "qa/1"))
        err_set(e, ERR_DATA, "schema: expected qa/1");
    else if (!e->code && j->file.map.p && (strcmp(arch, j->h.arch) || params != j->q->params))
        err_set(e, ERR_DATA,
                "it is of another model: %.32s with %.0f parameters, this is %s with %.0f", arch,
                params, j->h.arch, j->q->params);
    snprintf(p->device, sizeof p->device, "%s", e->code ? "" : json_get_str(v, "device", "", e));
    p->threads = (int)json_get_int(v, "threads", 0, e);
    p->tok_s = NAN;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "gates");
    for (const cJSON *g = cJSON_IsArray(list) ? list->child : NULL; g && !e->code; g = g->next)
        for (int i = 0; i < QA_N; i++) {
            const cJSON *value = cJSON_GetObjectItemCaseSensitive(g, "value");
            if (strcmp(json_get_str(g, "name", "", e), names[i]))
                continue;
            p->passed[i] = strcmp(json_get_str(g, "status", "", e), "pass") == 0;
            if (i == QA_THROUGHPUT && cJSON_IsNumber(value) && value->valuedouble > 0)
                p->tok_s = value->valuedouble;
        }
    p->there = 1;
    if (e->code)
        err_prefix(e, "%s", path);
    cJSON_Delete(v);
    return e->code;
}

/* ---- the run ---- */

static void open_file(struct qa_job *j)
{
    if (apr_open(&j->file, j->path, &j->broken) < 0)
        return;
    if (hparams_from_meta(&j->h, j->file.meta, &j->broken) < 0 ||
        hparams_check(&j->h, &j->broken) < 0) {
        err_prefix(&j->broken, "%s", j->path);
        return;
    }
    struct err none = {0};
    snprintf(j->q->name, sizeof j->q->name, "%s", json_get_str(j->file.meta, "name", "", &none));
    snprintf(j->q->arch, sizeof j->q->arch, "%s", j->h.arch);
    for (int i = 0; i < j->file.n_tensor; i++)
        if (strcmp(j->file.tensor[i].name, APR_TOKENIZER))
            j->q->params += (double)tensor_count(&j->file.tensor[i]);
}

static void load(struct qa_job *j)
{
    if (j->broken.code)
        j->load = j->broken;
    else
        j->loaded = model_load(&j->m, j->path, j->dev, KN_W_INFER, j->h.n_ctx > ENOUGH ? ENOUGH : 0,
                               &j->load) == 0;
}

static void run_gate(struct qa_job *j, int i)
{
    struct qa_gate *g = &j->q->gate[i];
    const double start = clock_now();
    *g = (struct qa_gate){.name = names[i], .value = NAN, .threshold = NAN, .unit = ""};
    if (j->o->skip[i])
        qa_say(g, QA_SKIP, "not asked for");
    else if (gates[i].needs && j->broken.code)
        qa_say(g, QA_FAIL, "%.300s", j->broken.msg);
    else if (gates[i].needs == 2 && !j->loaded)
        qa_say(g, QA_FAIL, "the model does not load: %.300s", j->load.msg);
    else
        gates[i].fn(j, g);
    g->seconds = clock_now() - start;
    j->q->executed += g->status != QA_SKIP;
    j->q->skipped += g->status == QA_SKIP;
    j->q->failed += g->status == QA_FAIL;
    if (j->o->tell)
        j->o->tell(j->o->arg, g);
}

int qa_run(struct qa *q, const char *path, const struct qa_conf *c, const struct qa_opts *o,
           struct err *e)
{
    struct qa_job j = {.q = q, .c = c, .o = o, .path = path};
    int rc;
    memset(q, 0, sizeof *q);
    q->path = path;
    q->min_executed = c->min_executed;
    open_file(&j);
    if (j.broken.code && j.broken.code != ERR_DATA) {
        *e = j.broken;
        rc = e->code;
        goto done;
    }
    if (o->previous && (rc = read_previous(&j, o->previous, e)) < 0)
        goto done;
    if ((rc = kn_open(&j.dev, o->device, o->threads)) < 0) {
        rc = err_set(e, ERR_UNAVAILABLE, "device %s: %s", o->device, kn_strerror(rc));
        goto done;
    }
    snprintf(q->device, sizeof q->device, "%s", j.dev->name);
    q->threads = j.dev->n_threads;
    load(&j);
    for (int i = 0; i < QA_N; i++)
        run_gate(&j, i);
    q->passed = !q->failed && q->executed >= q->min_executed;
    if (j.loaded)
        model_free(&j.m);
    kn_close(j.dev);
done:
    apr_close(&j.file);
    return rc < 0 ? rc : 0;
}

/* ---- the report ---- */

static void number(struct json_out *j, const char *key, double v)
{
    json_key(j, key);
    if (isnan(v))
        json_raw(j, "null");
    else
        json_num(j, v);
}

void qa_json(struct json_out *j, const struct qa *q)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "qa/1");
    json_kv_str(j, "model", q->path);
    json_kv_str(j, "name", q->name);
    json_kv_str(j, "architecture", q->arch);
    json_kv_num(j, "param_count", q->params);
    json_kv_str(j, "device", q->device);
    json_kv_int(j, "threads", q->threads);
    json_kv_bool(j, "passed", q->passed);
    json_kv_int(j, "gates_executed", q->executed);
    json_kv_int(j, "gates_failed", q->failed);
    json_kv_int(j, "gates_skipped", q->skipped);
    json_kv_int(j, "min_executed", q->min_executed);
    json_key(j, "gates");
    json_begin(j, '[');
    for (int i = 0; i < QA_N; i++) {
        const struct qa_gate *g = &q->gate[i];
        json_begin(j, '{');
        json_kv_str(j, "name", g->name);
        json_kv_str(j, "status", qa_status_name(g->status));
        json_kv_str(j, "message", g->message);
        number(j, "value", g->value);
        number(j, "threshold", g->threshold);
        json_kv_str(j, "unit", g->unit);
        json_kv_num(j, "seconds", g->seconds);
        json_end(j, '}');
    }
    json_end(j, ']');
    json_end(j, '}');
}

/* One line: an answer may hold anything, and a terminal must not obey it. */
static void put_line(FILE *out, const char *s)
{
    for (; *s; s++)
        fputc((unsigned char)*s < 32 || *s == 127 ? ' ' : *s, out);
    fputc('\n', out);
}

void qa_text(FILE *out, const struct qa *q)
{
    for (int i = 0; i < QA_N; i++) {
        fprintf(out, "  %-4s %-22s ", qa_status_name(q->gate[i].status), q->gate[i].name);
        put_line(out, q->gate[i].message);
    }
    fprintf(out, "%s: %d gates run, %d failed, %d skipped%s\n", q->passed ? "passed" : "FAILED",
            q->executed, q->failed, q->skipped,
            q->executed < q->min_executed ? ": too few were run to say that it passes" : "");
}
