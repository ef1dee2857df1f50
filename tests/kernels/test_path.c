/* test_path - each cpu path by name: a counter proves that it ran, and its bits are those of ref:q
 *
 * A silent fallback fails: the counter belongs to the object file that was compiled for a path.  A
 * path that this machine cannot run is skipped by name.  For quantized weights every path gives the
 * bits of "ref:q" for every number of rows from 1 to 64 and of threads from 1 to 8.  Where Linux
 * refuses a process its tiles, the best path without them runs.
 *
 * usage: test_path [quick]     quick: fewer row and thread counts (for an emulator) */
#include "cpu/cpu.h"
#include "tap.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

enum { MAX_M = 64, N = 40, MAX_K = 8704 };

/* whose code runs the quantized and the float products of cpu:NAME */
static const struct path {
    const char *name, *few, *many, *floating; /* quantized: few rows, and from MMQ_TILE_MIN on */
} paths[] = {
    {"generic", "generic", "generic", "generic"},
    {"avx2", "avx2", "avx2", "avx2"},
    {"avxvnni", "avxvnni", "avxvnni", "avx2"},
    {"avx512", "avx512", "avx512", "avx512"},
    {"amx", "avx512", "amx", "avx512"},
    {"amx-model", "generic", "amx-model", "generic"},
    {"neon", "neon", "neon", "neon"},
    {"neon_i8mm", "neon_i8mm", "neon_i8mm", "neon"},
};
enum { N_PATH = sizeof paths / sizeof *paths };

static const int quant_types[] = {KN_Q4_0, KN_Q4_1, KN_Q5_0, KN_Q5_1,
                                  KN_Q8_0, KN_Q4_K, KN_Q5_K, KN_Q6_K};
static const int float_types[] = {KN_F32, KN_F16, KN_BF16};

static void must(int err, const char *what)
{
    if (err) {
        printf("Bail out! %s: %s\n", what, kn_strerror(err));
        exit(1);
    }
}

/* uniform in [-1, 1): a function of the seed alone */
static void numbers(uint64_t seed, float *x, size_t n)
{
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        x[i] = (float)(s >> 40) / 8388608 - 1;
    }
}

/* One product's weight and input on a device. */
struct operands {
    struct kn_dev *d;
    struct kn_weight *w;
    struct kn_at x, y;
    int k;
};
static float x[MAX_M * MAX_K], want[MAX_M * N], got[MAX_M * N];
static uint8_t rows[N * MAX_K * 4];

/* Quants at the ends of their range, where a sum that is too narrow would overflow: every second
 * block has all quant bits set (K-quants: all scale bits too), d and the minimum stay. */
static void extreme(int type, int k)
{
    const struct kn_type_info *t = kn_type_info(type);
    const size_t size = (size_t)t->block_bytes, n = (size_t)N * (size_t)(k / t->block_len);
    for (size_t b = 0; b < n; b++) {
        uint8_t *block = rows + b * size;
        const size_t head = type == KN_Q6_K                                         ? 0
                            : type == KN_Q4_0 || type == KN_Q5_0 || type == KN_Q8_0 ? 2
                                                                                    : 4;
        const size_t tail = type == KN_Q6_K ? 2 : 0;
        if (b % 4 == 1)
            memset(block + head, 0xff, size - head - tail);
        if (b % 4 == 3) /* the other end: Q8_0's -128, the lowest of Q4_0, Q5_0 and Q6_K */
            memset(block + head, type == KN_Q8_0 || type == KN_Q6_K ? 0x80 : 0, size - head - tail);
    }
}

static void make_input(int type, int k)
{
    static float w[N * MAX_K];
    numbers(1, w, (size_t)N * (size_t)k);
    numbers(2, x, (size_t)MAX_M * (size_t)k);
    for (int i = 0; i < MAX_M * k; i++) /* rows of +-1: activations of +-127 alone */
        x[i] = i / k % 5 == 3 ? 1 : i / k % 5 == 4 ? (x[i] < 0 ? -1 : 1) : x[i];
    kn_quantize(type, w, rows, (size_t)N * (size_t)k);
    if (kn_type_info(type)->act_block)
        extreme(type, k);
}

static void place(struct kn_dev *d, int type, int k, struct operands *o)
{
    *o = (struct operands){.d = d, .k = k};
    must(kn_weight_new(d, type, N, k, rows, KN_W_INFER, &o->w), "kn_weight_new");
    must(kn_alloc(d, (size_t)MAX_M * (size_t)k * 4, &o->x), "kn_alloc");
    must(kn_alloc(d, sizeof got, &o->y), "kn_alloc");
    must(kn_write(d, o->x, x, (size_t)MAX_M * (size_t)k * 4), "kn_write");
}

static void drop(struct operands *o)
{
    kn_weight_free(o->d, o->w);
    kn_free(o->d, o->x);
    kn_free(o->d, o->y);
}

static void product(struct operands *o, int m, float *y)
{
    must(kn_matmul(o->d, o->y, o->x, o->w, (struct kn_at){0}, m, 0), "kn_matmul");
    must(kn_read(o->d, y, o->y, (size_t)m * N * sizeof *y), "kn_read");
}

/* one product: the counter of `path` moves, no other does */
static int only_runs(struct kn_dev *d, const char *path, int type, int m)
{
    uint64_t before[N_PATH];
    struct operands o;
    make_input(type, 512);
    place(d, type, 512, &o);
    for (int i = 0; i < N_PATH; i++)
        before[i] = cpu_path_count(d, paths[i].name);
    product(&o, m, got);
    drop(&o);
    int right = 1, known = 0;
    for (int i = 0; i < N_PATH; i++) {
        const int moved = cpu_path_count(d, paths[i].name) != before[i];
        const int own = strcmp(paths[i].name, path) == 0;
        known |= own;
        if (moved != own)
            printf("# %s: %s, %d rows: path %s %s\n", d->name, kn_type_info(type)->name, m,
                   paths[i].name, moved ? "ran" : "did not run");
        right &= moved == own;
    }
    return right && known;
}

static void test_counters(struct kn_dev *d, const struct path *p)
{
    static const int ms[] = {1, 2, 7, 64};
    int quantized = 1, floating = 1;
    for (int i = 0; i < 4; i++) {
        for (size_t t = 0; t < sizeof quant_types / sizeof *quant_types; t++)
            quantized &=
                only_runs(d, ms[i] < MMQ_TILE_MIN ? p->few : p->many, quant_types[t], ms[i]);
        for (size_t t = 0; t < sizeof float_types / sizeof *float_types; t++)
            floating &= only_runs(d, p->floating, float_types[t], ms[i]);
    }
    ok(quantized, "%s: quantized products are run by paths %s and %s alone", d->name, p->few,
       p->many);
    ok(floating, "%s: float products are run by path %s alone", d->name, p->floating);
}

/* how many pairs of rows and devices differ from the first rows of ref:q's product */
static int differing(struct kn_dev *q, struct kn_dev *const *d, int n_dev, int type, int k,
                     const int *ms, int n_m)
{
    struct operands o;
    int bad = 0;
    make_input(type, k);
    place(q, type, k, &o);
    product(&o, MAX_M, want);
    drop(&o);
    for (int i = 0; i < n_dev; i++) {
        place(d[i], type, k, &o);
        for (int j = 0; j < n_m; j++) {
            memset(got, 0x7f, sizeof got);
            product(&o, ms[j], got);
            if (memcmp(got, want, (size_t)ms[j] * N * sizeof *got) == 0)
                continue;
            printf("# %s, %d threads, %s, k = %d: %d rows differ\n", d[i]->name, d[i]->n_threads,
                   kn_type_info(type)->name, k, ms[j]);
            bad++;
        }
        drop(&o);
    }
    return bad;
}

/* bits of ref:q for all types, rows and threads */
static void test_bits(const char *name, int quick)
{
    static const int threads[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {1, 3, 8}};
    static const int few[] = {1, 3, 6, 64}, quick_rows[] = {1, 2, 3, 4, 5, 7, 15, 38, 64};
    int all[MAX_M];
    struct kn_dev *q, *d[8];
    const int n_dev = quick ? 3 : 8;
    for (int m = 0; m < MAX_M; m++)
        all[m] = m + 1;
    must(kn_open(&q, "ref:q", 1), "ref:q");
    for (int i = 0; i < n_dev; i++)
        must(kn_open(&d[i], name, threads[quick][i]), name);
    for (size_t t = 0; t < sizeof quant_types / sizeof *quant_types; t++) {
        const int type = quant_types[t], len = kn_type_info(type)->block_len;
        /* lanes of 3 and 2, of 2 and 1 blocks; then lanes longer than what is widened at once */
        int bad = differing(q, d, n_dev, type, len == 32 ? 20 * len : 10 * len,
                            quick ? quick_rows : all, quick ? 9 : MAX_M);
        bad += differing(q, d, 1, type, MAX_K, few, quick ? 3 : 4);
        ok(bad == 0, "%s %s: bits of ref:q for %s rows and 1 to 8 threads", name,
           kn_type_info(type)->name, quick ? "some numbers of" : "1 to 64");
    }
    for (int i = 0; i < n_dev; i++)
        kn_close(d[i]);
    kn_close(q);
}

#if defined(__x86_64__)
/* From here on the process's requests for tiles fail, as on a kernel that grants none. */
static int refuse_tiles(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* In a process of its own, before this one has threads. */
static void test_refused_tiles(void)
{
    enum { AMX_REFUSED = 1, OTHER_OPENS = 2, IT_RUNS = 4, NO_FILTER = 8 };
    struct kn_dev *d;
    int status = -1;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        int right = 0;
        if (refuse_tiles())
            _exit(NO_FILTER);
        right |= kn_open(&d, "cpu:amx", 2) == KN_EDEVICE ? AMX_REFUSED : 0;
        if (kn_open(&d, "cpu", 2) == 0 && strcmp(d->name, "cpu:avx512") == 0)
            right |= OTHER_OPENS | (only_runs(d, "avx512", KN_Q4_K, MAX_M) ? IT_RUNS : 0);
        fflush(stdout);
        _exit(right);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) == NO_FILTER) {
        skip("tiles cannot be refused here");
        return;
    }
    ok(WEXITSTATUS(status) & AMX_REFUSED, "tiles refused by the kernel: cpu:amx does not open");
    ok(WEXITSTATUS(status) & OTHER_OPENS, "cpu is cpu:avx512 then");
    ok(WEXITSTATUS(status) & IT_RUNS, "and that path's code runs, for many rows too");
}
#endif

int main(int argc, char **argv)
{
    const int quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    struct kn_dev *d;
    int n_run = 0;
#if defined(__x86_64__)
    if (kn_open(&d, "cpu:amx", 1))
        skip("tiles refused: this machine has none");
    else {
        kn_close(d);
        test_refused_tiles();
    }
#endif
    for (int i = 0; i < N_PATH; i++) {
        char name[32];
        if (quick && strstr(paths[i].name, "model")) /* plain C, the same on every machine */
            continue;
        snprintf(name, sizeof name, "cpu:%s", paths[i].name);
        int err = kn_open(&d, name, 2);
        if (err) {
            ok(err == KN_EDEVICE, "%s: refused, nothing in its place", name);
            skip("%s: this machine cannot run it", name);
            continue;
        }
        ok(strcmp(d->name, name) == 0, "%s opens under its name", name);
        test_counters(d, &paths[i]);
        kn_close(d);
        test_bits(name, quick);
        n_run++;
    }
    ok(n_run >= 1, "%d of %d paths run here", n_run, (int)N_PATH);
    must(kn_open(&d, "cpu", 2), "cpu");
    int best = 0;
    for (int i = 0; i < N_PATH; i++)
        if (strcmp(d->name + 4, paths[i].name) == 0)
            best = only_runs(d, paths[i].few, KN_Q8_0, 3) + 1;
    ok(best == 2, "cpu is %s, and runs that path", d->name);
    kn_close(d);
    ok(kn_open(&d, "cpu:avx3", 1) == KN_EDEVICE, "no such path");
    return done_testing();
}
