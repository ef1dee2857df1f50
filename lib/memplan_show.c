/* memplan_show - a plan as lines for people and as members of a plan/1 record */
#include "memplan.h"

const char *const memplan_methods[] = {"inference", "lora", "qlora", "full", NULL};

void memplan_json(struct json_out *j, const struct memplan_shown *x)
{
    const struct memplan *p = x->p;
    const struct memplan_conf *c = x->c;
    json_kv_str(j, "schema", "plan/1");
    json_kv_str(j, "model", x->path);
    json_kv_str(j, "format", x->m->format);
    json_kv_str(j, "method", memplan_methods[c->method]);
    json_kv_str(j, "device", x->dev->name);
    json_kv_int(j, "threads", x->dev->n_threads);
    json_kv_int(j, "ctx", c->n_ctx);
    json_kv_int(j, "batch", c->batch);
    json_kv_int(j, "param_count", (long long)x->m->params);
    json_kv_int(j, "tensor_bytes", (long long)x->m->bytes);
    json_kv_int(j, "weights_bytes", (long long)p->weights);
    json_kv_int(j, "kv_bytes", (long long)p->kv);
    json_kv_int(j, "activation_bytes", (long long)p->activations);
    json_kv_int(j, "optimizer_bytes", (long long)p->optimizer);
    json_kv_int(j, "other_bytes", (long long)p->other);
    json_kv_int(j, "total_bytes", (long long)p->total);
    json_kv_int(j, "available_bytes", x->room > INT64_MAX ? INT64_MAX : (long long)x->room);
    json_kv_bool(j, "fits", p->total <= x->room);
    json_key(j, "lines");
    json_begin(j, '[');
    for (int i = 0; i < p->n_line; i++) {
        json_begin(j, '{');
        json_kv_str(j, "part", p->line[i].part);
        json_kv_str(j, "what", p->line[i].what);
        json_kv_int(j, "bytes", (long long)p->line[i].bytes);
        json_kv_bool(j, "estimate", p->line[i].guessed);
        json_end(j, '}');
    }
    json_end(j, ']');
}

void memplan_text(FILE *f, const struct memplan_shown *x)
{
    const struct memplan *p = x->p;
    const int training = x->c->method != MEMPLAN_INFERENCE;
    fprintf(f, "%s: %s, %s on %s, %d %s of %d positions\n", x->path, x->m->format,
            memplan_methods[x->c->method], x->dev->name, x->c->batch,
            training ? "samples" : "sequences", x->c->n_ctx);
    fprintf(f, "file         %15zu  all tensors\n", (size_t)x->m->bytes);
    for (int i = 0; i < p->n_line; i++)
        fprintf(f, "%-12s %15zu  %s%s\n", p->line[i].part, p->line[i].bytes, p->line[i].what,
                p->line[i].guessed ? " (estimate)" : "");
    fprintf(f, "total        %15zu  %.2f GiB, %s the %.2f GiB available\n", p->total,
            (double)p->total / (1 << 30), p->total <= x->room ? "within" : "more than",
            (double)x->room / (1 << 30));
}
