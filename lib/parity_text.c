/* parity_text - a comparison judged, as JSON and for people */
#include "parity_impl.h"
#include <math.h>
#include <string.h>

static const char *const names[] = {
#define X(id, name) name,
    PARITY_OPS(X)
#undef X
};

const char *parity_op_name(int op)
{
    return names[op];
}

/* ---- the judgement ---- */

static void missed(struct parity_peer *p, const char *what, int layer, double found, const char *of,
                   double limit)
{
    if (p->why[0])
        return;
    if (layer >= 0)
        snprintf(p->why, sizeof p->why, "%s of layer %d: %s %.9g, expected %.9g", what, layer, of,
                 found, limit);
    else
        snprintf(p->why, sizeof p->why, "%s: %s %.9g, expected %.9g", what, of, found, limit);
}

static void judge(struct parity_peer *p, const struct parity_near *n, const char *what, int layer,
                  double cosine)
{
    if (!n->rows)
        return;
    if (!(n->cosine >= cosine))
        missed(p, what, layer, n->cosine, "cosine", cosine);
    if (p->limits.bits && n->equal < n->rows)
        missed(p, what, layer, (double)n->equal / (double)n->rows,
               "share of positions with equal bits", 1);
}

void parity_judge(struct parity *p)
{
    p->passed = p->n_peer > 0;
    for (int k = 0; k < p->n_peer; k++) {
        struct parity_peer *x = &p->peer[k];
        for (int i = 0; i < PARITY_N; i++)
            if (i != PARITY_LAYER)
                judge(x, &x->op[i], names[i],
                      i == PARITY_EMBED || i == PARITY_HEAD ? -1 : x->op[i].layer, x->limits.op);
        for (int l = 0; l < p->n_layer && p->with_ops; l++)
            judge(x, &x->layer[l], "output", l, x->limits.layer);
        judge(x, &x->logits, "logits", -1, x->limits.logits);
        const double other = 1 - (double)x->same / (p->n_tok ? p->n_tok : 1);
        if (other > x->limits.tokens)
            missed(x, "first choices", -1, other, "share that differs", x->limits.tokens);
        p->passed &= !x->why[0];
    }
}

/* ---- JSON ---- */

static void near_json(struct json_out *j, const struct parity_near *n, int with_layer)
{
    json_kv_num(j, "cosine", n->cosine);
    json_kv_num(j, "max_error", n->error);
    json_kv_int(j, "positions", (long long)n->rows);
    json_kv_int(j, "equal", (long long)n->equal);
    if (with_layer)
        json_kv_int(j, "layer", n->layer);
}

static void peer_json(struct json_out *j, const struct parity *p, const struct parity_peer *x)
{
    json_begin(j, '{');
    json_kv_str(j, "device", x->name);
    json_kv_bool(j, "passed", !x->why[0]);
    json_key(j, "missed");
    if (x->why[0])
        json_str(j, x->why);
    else
        json_raw(j, "null");
    json_key(j, "limits");
    json_begin(j, '{');
    json_kv_num(j, "op", x->limits.op);
    json_kv_num(j, "layer", x->limits.layer);
    json_kv_num(j, "logits", x->limits.logits);
    json_kv_num(j, "tokens", x->limits.tokens);
    json_kv_bool(j, "bits", x->limits.bits);
    json_end(j, '}');
    json_key(j, "ops");
    json_begin(j, '[');
    for (int i = 0; i < PARITY_N; i++)
        if (x->op[i].rows) {
            json_begin(j, '{');
            json_kv_str(j, "name", names[i]);
            near_json(j, &x->op[i], 1);
            json_end(j, '}');
        }
    json_end(j, ']');
    json_key(j, "layers");
    json_begin(j, '[');
    for (int l = 0; l < p->n_layer && p->with_ops; l++) {
        json_begin(j, '{');
        near_json(j, &x->layer[l], 0);
        json_end(j, '}');
    }
    json_end(j, ']');
    json_key(j, "logits");
    json_begin(j, '{');
    near_json(j, &x->logits, 0);
    json_kv_int(j, "same_token", x->same);
    json_key(j, "first_difference");
    if (x->differs < 0) {
        json_raw(j, "null");
    } else {
        json_begin(j, '{');
        json_kv_int(j, "position", x->differs);
        json_kv_int(j, "token", x->id);
        json_kv_int(j, "peer_token", x->id_peer);
        json_end(j, '}');
    }
    json_end(j, '}');
    json_end(j, '}');
}

void parity_json(struct json_out *j, const struct parity *p)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "parity/1");
    json_kv_str(j, "model", p->path);
    json_kv_str(j, "model_sha256", p->model);
    json_kv_str(j, "device", p->device);
    json_kv_str(j, "hardware", p->hardware);
    json_kv_str(j, "build", p->build);
    json_kv_bool(j, "passed", p->passed);
    json_kv_int(j, "positions", p->n_tok);
    json_kv_int(j, "singly", p->singly);
    json_kv_num(j, "seconds", p->seconds);
    json_key(j, "peers");
    json_begin(j, '[');
    for (int k = 0; k < p->n_peer; k++)
        peer_json(j, p, &p->peer[k]);
    json_end(j, ']');
    json_end(j, '}');
}

/* ---- for people ---- */

static void line(FILE *out, const char *name, const struct parity_near *n, int layer)
{
    fprintf(out, "  %-17s %.9f  %9.3g  %zu of %zu equal", name, n->cosine, n->error, n->equal,
            n->rows);
    if (layer && n->equal < n->rows)
        fprintf(out, ", worst in layer %d", n->layer);
    fprintf(out, "\n");
}

void parity_text(FILE *out, const struct parity *p)
{
    fprintf(out, "%s on %s%s%s: %d positions, %d of them one by one\n", p->path, p->device,
            p->hardware[0] ? ", " : "", p->hardware, p->n_tok, p->singly);
    for (int k = 0; k < p->n_peer; k++) {
        const struct parity_peer *x = &p->peer[k];
        fprintf(out, "against %s: least cosine, largest error, bits\n", x->name);
        for (int i = 0; i < PARITY_N; i++)
            if (x->op[i].rows && (i != PARITY_EMBED || p->with_ops))
                line(out, names[i], &x->op[i], i != PARITY_EMBED && i != PARITY_HEAD);
        line(out, "logits", &x->logits, 0);
        if (x->differs < 0)
            fprintf(out, "  first choices     all %d the same\n", p->n_tok);
        else
            fprintf(out, "  first choices     %d of %d the same; position %d: %d, there %d\n",
                    x->same, p->n_tok, x->differs, x->id, x->id_peer);
        if (x->why[0])
            fprintf(out, "  missed: %s\n", x->why);
    }
    fprintf(out, "%s\n", p->passed ? "passed" : "FAILED");
}
