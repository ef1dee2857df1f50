/* apr-gen - prompts in, samples out: continuous batching, resumable, in input order */
#include "cli.h"
#include "engine.h"
#include "hash.h"
#include "model_lora.h"
#include "outfile.h"
#include "request.h"
#include "rng.h"
#include "room.h"
#include "start.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *model, *prompts, *prompt, *out, *prefill, *device, *kv_type, *thinking,
        *default_adapter;
    long max_tokens, top_k, samples, seed, batch, ctx, think_budget, threads, chunk, repeat_last;
    double temperature, top_p, min_p, repeat_penalty;
    int exact, raw, logprobs, ids, timings, unordered, text, no_share, other_base;
    struct cli_list stop, adapter;
} o = {.out = "-",
       .max_tokens = 2048,
       .samples = 1,
       .think_budget = -1,
       .thinking = "auto",
       .top_p = 1,
       .repeat_penalty = 1,
       .repeat_last = 64,
       .device = "cpu",
       .kv_type = "f32"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('m', "model", &o.model, "M.apr", "the model"),
    CLI_LIST('a', "adapter", &o.adapter, "[NAME=]DIR", "a LoRA adapter beside the model, for records that name it (repeatable)"),
    CLI_STR(0, "default-adapter", &o.default_adapter, "NAME", "adapter of records that name none"),
    CLI_FLAG(0, "other-base", &o.other_base, "take adapters that were trained on other weights"),
    CLI_STR(0, "prompts", &o.prompts, "FILE", "prompt records (also the operand; - is stdin)"),
    CLI_STR('p', "prompt", &o.prompt, "TEXT", "one prompt instead of a file"),
    CLI_STR('o', "output", &o.out, "FILE", "samples; resumed if a run was interrupted"),
    CLI_INT('n', "max-tokens", &o.max_tokens, "N", "for records that do not say", 1, 1e9),
    CLI_FLOAT(0, "temperature", &o.temperature, "F", "0 = greedy", 0, 100),
    CLI_INT(0, "top-k", &o.top_k, "N", "the N likeliest; 0 = all", 0, 1e9),
    CLI_FLOAT(0, "top-p", &o.top_p, "F", "the likeliest whose mass is F", 0, 1),
    CLI_FLOAT(0, "min-p", &o.min_p, "F", "at least F times the likeliest", 0, 1),
    CLI_FLOAT(0, "repeat-penalty", &o.repeat_penalty, "F", "1 = none", 0.01, 100),
    CLI_INT(0, "repeat-last", &o.repeat_last, "N", "tokens the penalty looks back on; 0 = all", 0, 1e9),
    CLI_INT(0, "samples", &o.samples, "N", "answers for each prompt", 1, 1e6),
    CLI_INT(0, "seed", &o.seed, "N", "of the draws", 0, 9e15),
    CLI_INT(0, "batch", &o.batch, "N", "sequences in flight; 0 = as many as pay; changes no result", 0, 1024),
    CLI_INT(0, "ctx", &o.ctx, "N", "context; 0 = the model's", 0, 1e9),
    CLI_LIST(0, "stop", &o.stop, "S", "end before this text (repeatable)"),
    CLI_STR(0, "prefill", &o.prefill, "S", "beginning of every answer"),
    CLI_FLAG(0, "raw", &o.raw, "prompts are raw text, no chat format"),
    CLI_FLAG(0, "logprobs", &o.logprobs, "add log-probabilities"),
    CLI_FLAG(0, "ids", &o.ids, "add token ids"),
    CLI_FLAG(0, "timings", &o.timings, "add tok_per_sec and inference_ms"),
    CLI_FLAG(0, "text", &o.text, "write the text alone, not JSON"),
    CLI_FLAG(0, "unordered", &o.unordered, "write samples as they finish"),
    CLI_CHOICE(0, "thinking", &o.thinking, "auto|on|off", "whether a model that can think does"),
    CLI_INT(0, "think-budget", &o.think_budget, "N", "tokens of thinking; -1 = no limit", -1, 1e9),
    CLI_CHOICE(0, "kv-type", &o.kv_type, "f32|f16|q8_0", "numbers of the KV cache"),
    CLI_INT(0, "chunk", &o.chunk, "N", "rows of a step; 0 = as the device likes; changes no result", 0, 65536),
    CLI_FLAG(0, "no-share", &o.no_share, "compute every prompt whole; changes no result"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, cuda, auto, ref ..."),
    CLI_FLAG(0, "exact", &o.exact, "prompts too in the arithmetic of every device (as --device cuda:exact)"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-gen",
                               .what = "answer prompts with a model",
                               .usage = "-m M.apr [options] [PROMPTS.jsonl]",
                               .example =
                                   "apr-prompt --bench basic | apr-gen -m m.apr -o samples.jsonl",
                               .opts = opts,
                               .see = "apr-prompt(1), apr-extract(1), schema(7)",
                               .output_version = 3};

/* One answer to make: sample k of prompt p. */
struct job {
    const struct request *p;
    long k;
    int done; /* already in the .part */
};
struct run {
    struct model m;
    struct model_lora lora;
    struct kn_dev *dev;
    struct requests prompts;
    struct job *job;
    long n_job, n_done, n_kept;
    struct partfile part; /* f NULL: stdout */
    struct json_out j;
    struct err e;
};

/* A part without records goes; one with some is for the next run. */
static _Noreturn void die(struct run *r)
{
    partfile_close(&r->part);
    cli_die(&r->e);
}

static long sample_of(const struct job *job)
{
    return job->p->sample * o.samples + job->k;
}

/* Digest of everything that decides the output: a .part of another digest is started over. */
static char *part_key(struct run *r)
{
    static const char *const names[] = {
        "max-tokens",  "temperature", "top-k",   "top-p", "min-p",     "repeat-penalty",
        "repeat-last", "samples",     "seed",    "ctx",   "prefill",   "raw",
        "logprobs",    "ids",         "timings", "text",  "unordered", "think-budget",
        "kv-type",     "device",      "thinking"};
    struct hash_sha256 sha;
    char hex[65], value[4096], *meta = cJSON_PrintUnformatted(r->m.file.meta),
                               *key = cli_malloc(100);
    if (!meta || hash_sha256_init(&sha) < 0)
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    hash_sha256_add(&sha, meta,
                    strlen(meta) + 1); /* holds a hash of each tensor: it stands for the model */
    hash_sha256_add(&sha, r->prompts.sha256, 65);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *v = cli_value(names[i], value, sizeof value);
        hash_sha256_add(&sha, v, strlen(v) + 1);
    }
    /* the arithmetic, which --exact, the device and (auto) the machine decide: never two in one file */
    hash_sha256_add(&sha, r->dev->exact ? "exact" : r->dev->name,
                    strlen(r->dev->exact ? "exact" : r->dev->name) + 1);
    for (int i = 0; i < r->lora.n; i++) {
        const struct model_adapter *a = &r->lora.v[i];
        hash_sha256_add(&sha, a->name, strlen(a->name) + 1);
        hash_sha256_add(&sha, a->sha256, sizeof a->sha256);
        hash_sha256_add(&sha, &a->scale, sizeof a->scale);
    }
    if (o.default_adapter)
        hash_sha256_add(&sha, o.default_adapter, strlen(o.default_adapter) + 1);
    for (int i = 0; i < o.stop.n; i++) /* one by one: a joined list may read like another */
        hash_sha256_add(&sha, o.stop.v[i], strlen(o.stop.v[i]) + 1);
    hash_sha256_hex(&sha, hex);
    free(meta);
    snprintf(key, 100, "# apr-gen %d %s", cli.output_version, hex);
    return key;
}

static int seen(void *arg, const char *line, size_t n, struct err *e)
{
    struct run *r = arg;
    cJSON *v = json_parse(line, n, r->part.part ? r->part.part : "part", e);
    const char *task = v ? json_get_str(v, "task_id", "", e) : "";
    long sample = v ? json_get_int(v, "sample", 0, e) : 0;
    int p = requests_find(&r->prompts, task, sample / o.samples);
    cJSON_Delete(v);
    if (e->code || p < 0)
        return err_set(e, ERR_DATA,
                       "%s.part: task_id or sample unknown; remove the file to start over", o.out);
    r->n_kept += !r->job[p * o.samples + sample % o.samples].done;
    r->job[p * o.samples + sample % o.samples].done = 1;
    return 0;
}

static void record(const struct run *r, struct json_out *j, const struct job *job,
                   const struct engine_result *s)
{
    const struct model_adapter *a = job->p->adapter ? &r->lora.v[job->p->adapter - 1] : NULL;
    double sum = 0;
    json_begin(j, '{');
    json_kv_str(j, "schema", "sample/1");
    json_kv_str(j, "task_id", job->p->task_id);
    json_kv_int(j, "sample", sample_of(job));
    if (job->p->bench)
        json_kv_str(j, "bench", job->p->bench);
    if (a) {
        json_kv_str(j, "adapter", a->name);
        json_kv_str(j, "adapter_sha256", a->sha256);
    }
    json_key(j, "text");
    json_strn(j, s->text, s->n_text);
    if (s->thinking) {
        json_key(j, "thinking");
        json_strn(j, s->thinking, s->n_thinking);
    }
    if (s->thinking_open)
        json_kv_bool(j, "thinking_open", 1);
    json_kv_int(j, "tokens_generated", s->n_ids);
    json_kv_int(j, "prompt_tokens", s->prompt_tokens);
    json_kv_str(j, "finish", engine_finish_name(s->finish));
    json_kv_bool(j, "exact", r->dev->exact);
    if (s->logprob) {
        for (int i = 0; i < s->n_ids; i++)
            sum += s->logprob[i];
        json_key(j, "logprob_sum");
        json_f32(j, (float)sum);
        json_key(j, "logprobs");
        json_begin(j, '[');
        for (int i = 0; i < s->n_ids; i++)
            json_f32(j, (float)s->logprob[i]);
        json_end(j, ']');
    }
    if (o.ids) {
        json_key(j, "ids");
        json_begin(j, '[');
        for (int i = 0; i < s->n_ids; i++)
            json_int(j, s->ids[i]);
        json_end(j, ']');
    }
    if (o.timings) {
        json_kv_num(j, "tok_per_sec", s->seconds > 0 ? s->n_ids / s->seconds : 0);
        json_kv_num(j, "inference_ms", s->seconds * 1e3);
    }
    json_end(j, '}');
}

/* The record of one answer, at once where it belongs. */
static void write_result(struct run *r, const struct engine_result *s)
{
    int rc;
    if (o.text) {
        if (fwrite(s->text, 1, s->n_text, stdout) != s->n_text || putchar('\n') == EOF ||
            fflush(stdout))
            cli_die(&(struct err){ERR_IO, "standard output: write error"});
        return;
    }
    record(r, &r->j, s->tag, s);
    if (r->part.f) {
        rc = r->j.failed ? err_set(&r->e, ERR_NOMEM, "out of memory")
                         : partfile_line(&r->part, r->j.buf, r->j.len, &r->e);
        json_reset(&r->j);
    } else if ((rc = json_line(&r->j, stdout, &r->e)) == 0 && fflush(stdout)) {
        rc = err_errno(&r->e, ERR_IO, "standard output");
    }
    if (rc < 0)
        die(r);
}

/* How many answers run at a time, and the KV blocks for them; a request that cannot fit ends it here,
 * before anything is computed. */
static struct engine_opts plan(struct run *r)
{
    struct engine_opts eo = {.batch = (int)o.batch,
                             .n_ctx = r->prompts.longest,
                             .chunk = (int)(o.chunk ? o.chunk : r->dev->step),
                             .kv_type = kn_type_by_name(o.kv_type),
                             .unordered = o.unordered,
                             .no_share = o.no_share};
    int *positions = cli_malloc((size_t)r->n_job * sizeof *positions);
    struct engine_need need = {.positions = positions, .room = room_available("")};
    for (long i = 0; i < r->n_job; i++)
        if (!r->job[i].done)
            positions[need.n++] =
                engine_positions(r->job[i].p->n_ids, r->job[i].p->max_tokens, eo.n_ctx);
    if (engine_plan(&eo, &r->m, &need, &r->e) < 0) {
        long i = 0, at = need.misfit; /* among those that are still to be made */
        while (at >= 0 && (r->job[i].done || at-- > 0))
            i++;
        err_prefix(&r->e, "%s:%ld", r->prompts.path, r->job[i].p->line);
        die(r);
    }
    if (cli_verbose)
        cli_warn("at most %d answers at a time, %d KV blocks, %zu bytes of %zu available", eo.batch,
                 eo.n_block, need.bytes, need.room);
    free(positions);
    return eo;
}

static void generate(struct run *r)
{
    struct engine_opts eo = plan(r);
    struct cli_progress progress = {
        .what = "apr-gen", .unit = "samples", .total = (double)r->n_job};
    struct engine *g;
    const struct engine_result *s;
    double start = clock_now();
    long next = 0;
    int more = 1;
    if (engine_new(&g, &r->m, &eo, &r->e) < 0)
        die(r);
    while (more) {
        for (; next < r->n_job && engine_queued(g) < eo.batch; next++) {
            const struct job *job = &r->job[next];
            const struct request *p = job->p;
            struct engine_request q = {
                .ids = p->ids,
                .n_ids = p->n_ids,
                .max_tokens = p->max_tokens,
                .adapter = p->adapter,
                .sampler = {o.temperature, o.top_p, o.min_p, o.repeat_penalty, (int)o.top_k,
                            (int)o.repeat_last},
                .key = rng_key((uint64_t)o.seed, p->task_id, (uint64_t)sample_of(job)),
                .stop = (const char *const *)p->stop,
                .n_stop = p->n_stop,
                .prefill = p->prefill,
                .think_budget = o.think_budget,
                .logprobs = o.logprobs,
                .tag = &r->job[next]};
            if (!job->done && engine_add(g, &q, &r->e) < 0) {
                err_prefix(&r->e, "%s:%ld", r->prompts.path, p->line);
                die(r);
            }
        }
        if ((more = engine_step(g, &r->e)) < 0)
            die(r);
        for (; (s = engine_result(g)); engine_release(g, s), r->n_done++)
            write_result(r, s);
        struct engine_stats st = engine_stats(g);
        char rate[64];
        snprintf(rate, sizeof rate, "%.0f tok/s",
                 (double)st.generated / (clock_now() - start + 1e-9));
        cli_progress(&progress, (double)(r->n_kept + r->n_done), rate);
        if (!more) {
            cli_progress_end(&progress, (double)(r->n_kept + r->n_done), rate);
            if (cli_verbose)
                cli_warn("%llu steps, %llu rows, %llu prompt tokens of which %llu shared, %llu "
                         "generated",
                         (unsigned long long)st.steps, (unsigned long long)st.rows,
                         (unsigned long long)st.prompt, (unsigned long long)st.shared,
                         (unsigned long long)st.generated);
        }
        more |= next < r->n_job;
    }
    engine_free(g);
}

/* The finished file under its name, with its sidecar. */
static void commit(struct run *r, double seconds)
{
    const char **inputs = cli_malloc(((size_t)r->lora.n * 2 + 3) * sizeof *inputs);
    int n = 0;
    char hex[65];
    struct stat st;
    inputs[n++] = o.model;
    inputs[n++] = o.prompt ? "-" : r->prompts.path;
    for (int i = 0; i < r->lora.n; i++) {
        inputs[n++] = r->lora.v[i].config;
        inputs[n++] = r->lora.v[i].weights;
    }
    inputs[n] = NULL;
    if (partfile_commit(&r->part, &r->e) < 0 || hash_sha256_file(o.out, hex, &r->e) < 0)
        die(r);
    if (stat(o.out, &st) == 0 && S_ISREG(st.st_mode) &&
        meta_write(o.out, hex, (uint64_t)st.st_size, inputs, r->dev->name, seconds, &r->e) < 0)
        die(r);
    free(inputs);
}

static void load(struct run *r, const char *prompts)
{
    if (start_model(&r->m, &r->dev, o.model, o.device, (int)o.threads,
                    KN_W_INFER | MODEL_LATER | (o.exact ? START_EXACT : 0), (int)o.ctx, &r->e) < 0)
        cli_die(&r->e);
    if (cli_verbose && (r->m.packed || *r->m.packed_why))
        cli_warn("%s.packed: %s", o.model, r->m.packed ? "its weights are used" : r->m.packed_why);
    if (cli_verbose && r->dev->note[0])
        cli_warn("%s: %s", r->dev->name, r->dev->note);
    if (!r->m.tok)
        cli_die(&(struct err){ERR_DATA, "the model has no tokenizer"});
    if (o.adapter.n && model_lora_load(&r->lora, &r->m, (const char *const *)o.adapter.v,
                                       o.adapter.n, o.other_base, &r->e) < 0)
        cli_die(&r->e);
    if (o.default_adapter && model_lora_find(&r->lora, o.default_adapter) < 0)
        cli_usage("--default-adapter %s: no --adapter of that name", o.default_adapter);
    struct request_defaults d = {.prefill = o.prefill,
                                 .adapter = o.default_adapter,
                                 .stop = o.stop.v,
                                 .n_stop = o.stop.n,
                                 .raw = o.raw,
                                 .max_tokens = (int)o.max_tokens,
                                 .n_ctx = r->m.n_ctx,
                                 .thinking = !strcmp(o.thinking, "on")    ? REQUEST_THINK_ON
                                             : !strcmp(o.thinking, "off") ? REQUEST_THINK_OFF
                                                                          : REQUEST_THINK_AUTO};
    if ((o.prompt ? requests_add_text(&r->prompts, o.prompt, &r->m, &d, &r->e)
                  : requests_read(&r->prompts, prompts, &r->m, &d, &r->e)) < 0)
        cli_die(&r->e);
    if (model_positions(&r->m, r->prompts.longest, &r->e) < 0)
        cli_die(&r->e);
    r->n_job = r->prompts.n * o.samples;
    r->job = cli_malloc((size_t)r->n_job * sizeof *r->job);
    for (long i = 0; i < r->n_job; i++)
        r->job[i] = (struct job){&r->prompts.v[i / o.samples], i % o.samples, 0};
}

int main(int argc, char **argv)
{
    static struct run r;
    double start = clock_now();
    cli_parse(&cli, &argc, &argv);
    if (!o.model &&
        argc > 0) { /* a recipe's stage: the model is its input, the prompts an option */
        o.model = *argv++;
        argc--;
    }
    if (!o.model)
        cli_usage("no model: give -m M.apr");
    if (argc + !!o.prompts + !!o.prompt > 1)
        cli_usage("prompts given twice");
    for (int i = 0; i < o.stop.n; i++)
        if (!*o.stop.v[i])
            cli_usage("--stop: expected a text that is not empty");
    if (o.text && strcmp(o.out, "-"))
        cli_usage("--text writes to standard output");
    if (o.samples > 1 && o.temperature == 0)
        cli_warn("%ld samples at temperature 0 are all the same", o.samples);
    load(&r, o.prompts ? o.prompts : argc ? argv[0] : "-");
    if (strcmp(o.out, "-")) {
        char *key = part_key(&r);
        if (partfile_open(&r.part, o.out, key, seen, &r, &r.e) < 0)
            cli_die(&r.e);
        free(key);
        if (r.n_kept)
            cli_warn("%s: resuming after %ld of %ld samples", o.out, r.n_kept, r.n_job);
    }
    if (r.n_job > r.n_kept)
        generate(&r);
    if (r.part.f)
        commit(&r, clock_now() - start);
    free(r.j.buf);
    free(r.job);
    requests_free(&r.prompts);
    model_lora_free(&r.lora);
    model_free(&r.m);
    kn_close(r.dev);
    return cli_exit(0);
}
