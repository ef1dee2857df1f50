/* test_engine - a result depends on its request alone; ends, sharing, and no allocation in a step
 */
#include "engine.h"
#include "rng.h"
#include "tap.h"
#include "tiny_model.h"
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Count allocations; not under a sanitizer, which has its own malloc. */
static atomic_long allocations;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define COUNTED 1
extern void *__libc_malloc(size_t n);
void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}
#else
#define COUNTED 0
#endif

enum { N = 12 };
static struct model m;
static struct err e;

struct outcome {
    enum engine_finish finish;
    int n_ids;
    int32_t ids[CTX];
    double logprob[CTX];
    char text[4000];
};

static struct engine_request requests[N];
static int32_t prompts[N][CTX];

/* Requests of many kinds: greedy and drawn, long and short, three that share a prompt, a stop
 * string. */
static void make_requests(void)
{
    static const char *const stop[] = {"e"};
    struct rng r = {.key = 3};
    for (int i = 0; i < N; i++) {
        struct engine_request *q = &requests[i];
        int same = i >= 4 && i < 7; /* as request 3 */
        q->n_ids = i == 8 ? CTX - 10 : same ? requests[3].n_ids : 5 + 9 * i;
        for (int k = 0; k < q->n_ids; k++)
            prompts[i][k] = same               ? prompts[3][k]
                            : i == 9 && k < 64 ? prompts[8][k]
                                               : (int32_t)rng_below(&r, 8000);
        q->ids = prompts[i];
        q->max_tokens = i == 8 ? 50 : 10 + i;
        q->sampler = (struct sampler){
            .temperature = i % 2 ? 1.0 : 0, .top_p = 0.95, .repeat_penalty = i == 10 ? 1.3 : 1};
        q->key = rng_key(42, "task", (uint64_t)i);
        q->think_budget = -1;
        q->logprobs = 1;
        q->tag = q;
        if (i == 11) {
            q->stop = stop;
            q->n_stop = 1;
            q->max_tokens = 40;
        }
    }
}

static long stepped; /* allocations inside steps that admitted nothing */

static int run(struct engine_opts o, struct outcome *out, int *order, struct engine_stats *stats)
{
    struct engine *g;
    const struct engine_result *r;
    int more = 1, taken = 0;
    memset(out, 0, N * sizeof *out);
    o.kv_type = KN_F32;
    if (engine_new(&g, &m, &o, &e) < 0)
        return e.code;
    for (int i = 0; i < N; i++)
        if (engine_add(g, &requests[i], &e) < 0)
            return e.code;
    while (more > 0) {
        int queued = engine_queued(g);
        long before = allocations;
        more = engine_step(g, &e);
        if (engine_queued(g) == queued)
            stepped += allocations - before;
        while ((r = engine_result(g))) {
            struct outcome *c = &out[(struct engine_request *)r->tag - requests];
            order[taken++] = (int)((struct engine_request *)r->tag - requests);
            c->finish = r->finish;
            c->n_ids = r->n_ids;
            memcpy(c->ids, r->ids, (size_t)r->n_ids * sizeof *c->ids);
            memcpy(c->logprob, r->logprob, (size_t)r->n_ids * sizeof *c->logprob);
            memcpy(c->text, r->text, r->n_text < sizeof c->text ? r->n_text : sizeof c->text);
            engine_release(g, r);
        }
    }
    *stats = engine_stats(g);
    engine_free(g);
    return more < 0 ? more : taken == N ? 0 : -1;
}

/* Device ref allocates as it likes; cpu must not. */
static void check_allocations(const char *path)
{
    static struct outcome got[N];
    struct engine_opts o = {.batch = 4, .n_ctx = CTX, .chunk = 32};
    struct engine_stats st;
    struct model other = m;
    struct kn_dev *cpu;
    int order[N];
    if (!COUNTED || kn_open(&cpu, "cpu", 1) < 0) {
        skip("allocations are not counted here");
        return;
    }
    stepped = 0;
    int rc = model_load(&m, path, cpu, KN_W_INFER, 0, &e);
    if (rc == 0)
        rc = run(o, got, order, &st);
    ok(rc == 0 && stepped == 0, "a step allocates nothing (%ld) %s", stepped, e.msg);
    model_free(&m);
    m = other;
    kn_close(cpu);
}

int main(void)
{
    static const struct engine_opts kinds[] = {
        {.batch = 1, .n_ctx = CTX, .chunk = 512},
        {.batch = 1, .n_ctx = CTX, .chunk = 1},
        {.batch = 3, .n_ctx = CTX, .chunk = 7},
        {.batch = 8, .n_ctx = CTX, .chunk = 8},
        {.batch = 8, .n_ctx = CTX, .chunk = 100, .n_block = 5}, /* room for one long sequence */
        {.batch = 12, .n_ctx = CTX, .chunk = 64, .unordered = 1},
    };
    static struct outcome want[N], got[N];
    struct engine_stats st;
    struct kn_dev *dev;
    int order[N], sorted = 1;
    char path[] = "/tmp/test_engine.XXXXXX";
    close(mkstemp(path));
    if (tiny_model(path, NULL, &e) < 0 || kn_open(&dev, "ref:q", 1) < 0 ||
        model_load(&m, path, dev, KN_W_INFER, 0, &e) < 0) {
        ok(0, "%s", e.msg);
        return done_testing();
    }
    make_requests();
    int rc = run(kinds[0], want, order, &st);
    for (int i = 0; i < N; i++)
        sorted &= order[i] == i;
    ok(rc == 0 && sorted, "results in the order of the requests %s", e.msg);
    ok(want[8].finish == ENGINE_CONTEXT && want[8].n_ids == 10, "the context ends a sequence");
    ok(want[2].finish == ENGINE_LENGTH && want[2].n_ids == 12, "max_tokens ends a sequence");
    ok(want[11].finish == ENGINE_STOP && want[11].n_ids < 40 && !strchr(want[11].text, 'e'),
       "a stop string ends one, and is cut off");
    ok(memcmp(want[3].ids, want[5].ids, 10 * sizeof(int32_t)) != 0,
       "samples of one prompt differ by their keys");
    for (size_t k = 1; k < sizeof kinds / sizeof *kinds; k++) {
        rc = run(kinds[k], got, order, &st);
        ok(rc == 0 && memcmp(got, want, sizeof got) == 0,
           "batch %d, chunk %d, %d blocks: the same bits %s", kinds[k].batch, kinds[k].chunk,
           kinds[k].n_block, e.msg);
    }
    ok(st.shared >= 3 * 31 + 64, "prompt positions are shared (%d of %d)", (int)st.shared,
       (int)st.prompt);
    ok(st.steps < 60, "finished sequences are replaced at once (%d steps)", (int)st.steps);
    check_allocations(path);

    struct engine *g;
    struct engine_opts o = {.batch = 2, .n_ctx = 64, .kv_type = KN_F32};
    struct engine_request q = requests[0];
    q.n_ids = 64;
    ok(engine_new(&g, &m, &o, &e) == 0 && engine_add(g, &q, &e) == ERR_DATA &&
           strstr(e.msg, "64 tokens") && strstr(e.msg, "64 positions"),
       "a prompt that fills the context is refused: %s", e.msg);
    engine_free(g);
    model_free(&m);
    kn_close(dev);
    unlink(path);
    return done_testing();
}
