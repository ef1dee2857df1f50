/* test_engine - a result depends on its request alone: not on batch, chunk, threads, sharing or path;
 * ends, memory counted before the start, and no allocation and no lock in a step */
#include "engine.h"
#include "rng.h"
#include "tap.h"
#include "tiny_model.h"
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Count allocations and locks, in all threads; not under a sanitizer, which has its own malloc. */
static atomic_long allocations, locks;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define COUNTED 1
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
    allocations++;
    return __libc_memalign(align, n);
}
/* a lock of the C library's: counted, then taken */
#define COUNT_LOCK(name, type)                                                                     \
    int name(type *lock)                                                                           \
    {                                                                                              \
        static int (*_Atomic next)(type *);                                                        \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        locks++;                                                                                   \
        return next(lock);                                                                         \
    }
COUNT_LOCK(pthread_mutex_lock, pthread_mutex_t)
COUNT_LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNT_LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
COUNT_LOCK(sem_wait, sem_t)
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

static long stepped, locked; /* allocations and locks inside steps */

static int run(struct engine_opts o, struct outcome *out, int *order, struct engine_stats *stats)
{
    struct engine *g;
    const struct engine_result *r;
    int more = 1, taken = 0;
    memset(out, 0, N * sizeof *out);
    o.kv_type = o.kv_type ? o.kv_type : KN_F32;
    if (engine_new(&g, &m, &o, &e) < 0)
        return e.code;
    for (int i = 0; i < N; i++)
        if (engine_add(g, &requests[i], &e) < 0)
            return e.code;
    while (more > 0) {
        const long allocated = allocations, taken_locks = locks;
        more = engine_step(g, &e);
        stepped += allocations - allocated;
        locked += locks - taken_locks;
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

/* Weights as Q8_0; the rows are short for K-quants. */
static void quantized(struct tensor *t, int *n, struct hparams *h)
{
    static uint8_t room[4 << 20];
    size_t used = 0;
    (void)h;
    for (int i = 0; i < *n; i++) {
        if (t[i].type != KN_F32 || t[i].ndim != 2)
            continue;
        const size_t row = kn_row_bytes(KN_Q8_0, (size_t)t[i].dim[1]);
        for (size_t r = 0; r < t[i].dim[0]; r++)
            kn_quantize(KN_Q8_0, (const float *)t[i].data + r * t[i].dim[1], room + used + r * row,
                        (size_t)t[i].dim[1]);
        t[i].type = KN_Q8_0;
        t[i].data = room + used;
        t[i].bytes = row * t[i].dim[0];
        used += t[i].bytes;
    }
}

/* Device ref allocates as it likes; cpu must not. */
static void check_steps(const char *what)
{
    if (COUNTED)
        ok(stepped == 0 && locked == 0, "%s: steps allocate nothing and lock nothing (%ld, %ld)",
           what, stepped, locked);
    else
        skip("allocations and locks are not counted here");
}

/* One set of results for every path, number of threads, batch, and with and without sharing. */
static void check_paths(void)
{
    static const char *const paths[] = {"ref:q",      "cpu:generic", "cpu:avx2", "cpu:avxvnni",
                                        "cpu:avx512", "cpu:amx",     "cpu:neon", "cpu:neon_i8mm"};
    static const int threads[] = {1, 2, 4}, batches[] = {1, 3, 8, 32};
    static struct outcome want[N], got[N];
    const struct model other = m;
    struct engine_stats st;
    struct kn_dev *dev;
    int order[N], first = 1, shared;
    char path[] = "/tmp/test_engine_q.XXXXXX";
    close(mkstemp(path));
    ok(tiny_model(path, quantized, &e) == 0, "a quantized model %s", e.msg);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        int bad = 0, runs = 0;
        stepped = locked = 0;
        for (size_t t = 0; t < (p == 0   ? 1
                                : p == 1 ? 2
                                         : 3) &&
                           kn_open(&dev, paths[p], threads[t]) == 0;
             t++) {
            if (model_load(&m, path, dev, KN_W_INFER, 0, &e) < 0)
                bad = 1;
            for (int i = 0; i < 8 && !bad; i++) {
                if (p < 2 && i != (t ? 7 : 2)) /* the slow ones: batch 3, and 32 unshared */
                    continue;
                const struct engine_opts o = {.batch = batches[i / 2],
                                              .n_ctx = CTX,
                                              .chunk = 50,
                                              .no_share = i % 2,
                                              .top = i == 3 || i == 6};
                bad = run(o, first ? want : got, order, &st) < 0 ||
                      (!first && memcmp(want, got, sizeof want));
                shared = (int)st.shared;
                bad |= o.no_share ? shared != 0 : o.batch > 3 && shared == 0;
                runs++;
                if (bad)
                    printf("# %s, %d threads, batch %d, sharing %d: differs %s\n", paths[p],
                           threads[t], o.batch, !o.no_share, e.msg);
                first = 0;
            }
            model_free(&m);
            kn_close(dev);
        }
        if (runs)
            ok(!bad,
               "%s: the same bits in %d runs: 1 to 4 threads, batches of 1 to 32, shared or not",
               paths[p], runs);
        if (runs && p > 0)
            check_steps(paths[p]);
        else if (!runs)
            skip("%s: this machine lacks it", paths[p]);
    }
    m = other;
    unlink(path);
}

/* Prompts of one header of 20 tokens, less than a block, and of one of 75. */
static void check_headers(int header)
{
    static struct outcome want[N], got[N];
    static struct engine_request saved[N];
    struct engine_opts o = {.batch = 4, .n_ctx = CTX, .chunk = 64, .no_share = 1};
    struct engine_stats st;
    struct rng r = {.key = 11};
    int order[N];
    memcpy(saved, requests, sizeof saved);
    for (int i = 0; i < N; i++) {
        requests[i].n_ids = header + 10;
        for (int k = 0; k < requests[i].n_ids; k++)
            prompts[i][k] = i && k < header ? prompts[0][k] : (int32_t)rng_below(&r, 8000);
    }
    int rc = run(o, want, order, &st);
    o.no_share = 0;
    ok(rc == 0 && run(o, got, order, &st) == 0 && memcmp(want, got, sizeof got) == 0,
       "a header of %d tokens: the same bits shared %s", header, e.msg);
    ok((int)st.shared == (N - 1) * header, "it is computed once (%d positions shared)",
       (int)st.shared);
    memcpy(requests, saved, sizeof saved);
    make_requests();
}

/* What fits is said before anything is allocated. */
static void check_plan(void)
{
    static const int positions[] = {100, 40, 150, 10, 33};
    struct engine_need need = {.positions = positions, .n = 5, .room = (size_t)8 << 30};
    struct engine_opts o = {.n_ctx = CTX, .kv_type = KN_F32}, all;
    const size_t block = (size_t)LAYERS * 2 * KV * HD * KN_TILE * sizeof(float);
    ok(engine_positions(10, 5, 100) == 14 && engine_positions(96, 50, 100) == 99,
       "the last token takes no position");
    ok(engine_plan(&o, &m, &need, &e) == 0 && o.batch == 5 && o.n_block == 4 + 2 + 5 + 1 + 2,
       "room: all requests at once, a block for each 32 positions (%d)", o.n_block);
    all = o;
    const size_t whole = need.bytes, fixed = whole - (size_t)o.n_block * (whole > 0 ? block : 0);
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32, .batch = 2};
    ok(engine_plan(&o, &m, &need, &e) == 0 && o.batch == 2 && o.n_block == 5 + 4,
       "two at a time: blocks for the longest two");
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32};
    need.room = whole - 2 * block;
    ok(engine_plan(&o, &m, &need, &e) == 0 && o.batch == 5 && o.n_block < all.n_block &&
           o.n_block >= 5 && need.bytes <= need.room,
       "less room: fewer blocks (%d), within it", o.n_block);
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32};
    need.room = fixed; /* and logits of five, twice 32 KiB each */
    ok(engine_plan(&o, &m, &need, &e) == 0 && o.batch < 5 && need.bytes <= need.room,
       "still less: fewer at a time (%d)", o.batch);
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32, .batch = 5};
    ok(engine_plan(&o, &m, &need, &e) == ERR_NOMEM, "unless their number is given");
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32, .batch = 1, .chunk = 1};
    need.room = (size_t)8 << 30;
    engine_plan(&o, &m, &need, &e);
    need.room = need.bytes - 1;
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32, .batch = 1, .chunk = 1};
    e = (struct err){0};
    ok(engine_plan(&o, &m, &need, &e) == ERR_NOMEM && need.misfit == 2 &&
           strstr(e.msg, "available"),
       "one that cannot fit: the third: %s", e.msg);
    e = (struct err){0};
    need.n = 0;
    need.room = (size_t)8 << 30;
    o = (struct engine_opts){.n_ctx = CTX, .kv_type = KN_F32};
    ok(engine_plan(&o, &m, &need, &e) == 0 && o.batch == 1 && o.n_block == 1, "no requests");
}

/* The same of a model in F32, whose products are other code. */
static void check_allocations(const char *path)
{
    static struct outcome got[N];
    struct engine_opts o = {.batch = 4, .n_ctx = CTX, .chunk = 32};
    struct engine_stats st;
    struct model other = m;
    struct kn_dev *cpu;
    int order[N];
    long a = allocations, l = locks;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    void *volatile some = calloc(1, 10); /* volatile: not optimised away */
    free(realloc(some, 20000));
    ok(!COUNTED || (allocations >= a + 2 && locks == l + 1), "allocations and locks are counted");
    stepped = locked = 0;
    if (kn_open(&cpu, "cpu", 2) < 0) {
        ok(0, "device cpu");
        return;
    }
    int rc = model_load(&m, path, cpu, KN_W_INFER, 0, &e);
    if (rc == 0)
        rc = run(o, got, order, &st);
    ok(rc == 0, "a model in F32 on two threads %s", e.msg);
    check_steps("F32 weights");
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
        {.batch = 8, .n_ctx = CTX, .chunk = 64, .no_share = 1},
        {.batch = 32, .n_ctx = CTX},
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
           "batch %d, chunk %d, %d blocks, sharing %d: the same bits %s", kinds[k].batch,
           kinds[k].chunk, kinds[k].n_block, !kinds[k].no_share, e.msg);
    }
    ok(st.shared >= 3 * 31 + 64, "prompt positions are shared (%d of %d)", (int)st.shared,
       (int)st.prompt);
    ok(st.steps < 60, "finished sequences are replaced at once (%d steps)", (int)st.steps);
    check_allocations(path);
    check_headers(20);
    check_headers(75);
    check_plan();

    struct engine *g;
    struct engine_opts o = {.batch = 2, .n_ctx = 64, .kv_type = KN_F32};
    struct engine_request q = requests[0];
    q.n_ids = 64;
    ok(engine_new(&g, &m, &o, &e) == 0 && engine_add(g, &q, &e) == ERR_DATA &&
           strstr(e.msg, "64 tokens") && strstr(e.msg, "64 positions"),
       "a prompt that fills the context is refused: %s", e.msg);
    engine_free(g);
    o.n_block = 1;
    q.n_ids = 40;
    e = (struct err){0};
    ok(engine_new(&g, &m, &o, &e) == 0 && engine_add(g, &q, &e) == ERR_NOMEM &&
           strstr(e.msg, "bytes of KV cache"),
       "one that does not fit the blocks: %s", e.msg);
    engine_free(g);
    e = (struct err){0};
    check_paths();
    model_free(&m);
    kn_close(dev);
    unlink(path);
    return done_testing();
}
