/* fuzz_request - libFuzzer entry: whatever prompt records hold, they are token ids or refused with their line
 * (make fuzz)
 *
 * The first byte says how they are asked for; the tokenizer is tokenizer.json in the working folder; adapters "a" and "b"
 * are loaded. */
#include "fuzz.h"
#include "model_lora.h"
#include "request.h"

static const char chatml[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static void check(const struct requests *r, const struct model *m)
{
    for (int i = 0; i < r->n; i++) {
        const struct request *q = &r->v[i];
        size_t k;
        if (q->n_ids < 1 || q->n_ids >= m->n_ctx || q->max_tokens < 1 || !q->task_id ||
            requests_find(r, q->task_id, q->sample) != i || q->adapter < 0 ||
            q->adapter > m->lora->n)
            abort();
        for (int t = 0; t < q->n_ids; t++)
            if (!bpe_token(m->tok, q->ids[t], &k))
                abort();
        for (int s = 0; s < q->n_stop; s++)
            if (!*q->stop[s])
                abort();
    }
    if (r->longest > m->n_ctx)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct model m;
    static char names[2][2] = {"a", "b"};
    static struct model_adapter adapter[2] = {{.name = names[0]}, {.name = names[1]}};
    static struct model_lora lora = {.v = adapter, .n = 2};
    static const char *const stop[] = {"\n\n", "```"};
    struct requests r;
    struct err e = {0};
    const int how = n ? *p : 0;
    if (!m.tok) {
        m.file.meta = cJSON_CreateObject();
        m.file.path = "fuzz";
        m.n_ctx = 300;
        m.lora = &lora;
        if (bpe_load_json(&m.tok, "tokenizer.json", &e) < 0 ||
            !cJSON_AddStringToObject(m.file.meta, "chat_template", chatml))
            abort();
    }
    const struct request_defaults d = {.prefill = how & 1 ? "def" : NULL,
                                       .stop = stop,
                                       .n_stop = how >> 1 & 1 ? 2 : 0,
                                       .raw = how >> 2 & 1,
                                       .adapter = how >> 5 & 1 ? "b" : NULL,
                                       .max_tokens = 64,
                                       .n_ctx = m.n_ctx,
                                       .thinking = (enum request_thinking)((how >> 3 & 3) % 3)};
    if (requests_read(&r, fuzz_file(0, p + (n > 0), n - (n > 0)), &m, &d, &e) == 0) {
        check(&r, &m);
        requests_free(&r);
    } else if (!*e.msg || r.v || r.index) {
        abort();
    }
    return 0;
}
