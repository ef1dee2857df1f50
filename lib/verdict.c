/* verdict - names of the verdict kinds; the record */
#include "verdict.h"
#include "jail.h"
#include <string.h>

static const char *const names[] = {
#define X(name) #name,
    VERDICTS(X)
#undef X
};

const char *verdict_name(enum verdict_kind k)
{
    return (unsigned)k < VERDICT_COUNT ? names[k] : "?";
}

int verdict_parse(const char *name)
{
    for (int i = 0; i < VERDICT_COUNT; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

void verdict_write(struct json_out *j, const struct verdict *v, const char *task_id, long sample,
                   const char *bench, unsigned enforced, const char *job, const char *rank,
                   int timings)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "verdict/1");
    json_kv_str(j, "task_id", task_id);
    json_kv_int(j, "sample", sample);
    json_kv_str(j, "bench", bench);
    json_kv_bool(j, "passed", v->kind == VERDICT_pass);
    json_kv_str(j, "verdict", verdict_name(v->kind));
    json_kv_str(j, "detail", v->detail);
    json_key(j, "tests");
    json_begin(j, '{');
    json_kv_int(j, "run", v->run);
    json_kv_int(j, "total", v->total);
    json_end(j, '}');
    json_kv_int(j, "exit", v->exit);
    json_kv_int(j, "signal", v->signal);
    json_kv_str(j, "trust", v->inproc ? "inproc" : "split");
    json_kv_int(j, "attempt", v->attempt);
    json_kv_bool(j, "flaky", v->flaky);
    json_key(j, "enforced");
    jail_names(j, enforced);
    json_kv_str(j, "job", job);
    if (rank) {
        json_key(j, "rank");
        json_raw(j, rank);
    }
    if (timings) {
        json_kv_num(j, "cpu_ms", v->cpu_ms);
        json_kv_num(j, "wall_ms", v->wall_ms);
        json_kv_int(j, "rss_kb", v->rss_kb);
    }
    json_end(j, '}');
}

void verdict_behaviour(struct json_out *j, const struct verdict *v, const char *task_id,
                       long sample, const char *bench)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "behaviour/1");
    json_kv_str(j, "task_id", task_id);
    json_kv_int(j, "sample", sample);
    json_kv_str(j, "bench", bench);
    json_key(j, "outputs");
    json_raw(j, v->outputs ? v->outputs : "[]");
    json_kv_int(j, "ran", v->run);
    json_end(j, '}');
}
