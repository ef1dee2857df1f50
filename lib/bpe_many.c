/* bpe_many - ids of many texts, or of one long text, by several threads
 *
 * Threads take the next part in turn; a part is a text, or about PART bytes of a long one.  A text is
 * cut between a line end and an ASCII character that is no space: there every split pattern ends a
 * word, whatever comes before or after, and NFC joins nothing; for patterns other than Qwen2's and
 * Llama-3's the character has to be a letter, and the line end single: GPT-2's tells the last of
 * several spaces from the others, o200k's takes a slash with the line end.  An added token could reach
 * across, so with one that holds a line end or takes spaces a text stays whole, and so it does for
 * SentencePiece, which has no words. */
#include "bpe_impl.h"
#include <ctype.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { PART = 256 << 10, MAX_THREADS = 256 };

struct part {
    size_t text, from, n;
    int32_t *ids;
    long n_ids;
};
struct work {
    const struct bpe *b;
    const struct bpe_text *text;
    int flags;
    struct part *part;
    size_t n_part;
    atomic_size_t next;
    pthread_mutex_t lock;
    size_t bad; /* the first part that failed: n_part if none did */
    struct err e;
};

static int may_cut(const struct bpe *b)
{
    if (b->spm)
        return 0;
    for (uint32_t id = 0; id < b->head->n_id; id++) {
        size_t n;
        const char *s = bpe_text(b, id, &n);
        if ((b->kind[id] & BPE_K_ADDED) && ((b->kind[id] & (BPE_K_LSTRIP | BPE_K_RSTRIP)) ||
                                            memchr(s, '\n', n) || memchr(s, '\r', n)))
            return 0;
    }
    return 1;
}

/* Where a part of s that begins at `from` ends; strict: as other patterns need it. */
static size_t cut(const char *s, size_t n, size_t from, int strict)
{
    for (size_t i = from + PART; i < n; i++) {
        const char *line = memchr(s + i, '\n', n - i);
        if (!line)
            break;
        i = (size_t)(line - s);
        if (i + 1 == n || s[i + 1] <= ' ' || s[i + 1] >= 0x7F)
            continue;
        if (!strict || (s[i - 1] > ' ' && s[i - 1] < 0x7F && isalpha((unsigned char)s[i + 1])))
            return i + 1;
    }
    return n;
}

/* The parts of all texts, in order, into part unless that is NULL; their number. */
static size_t cut_all(struct part *part, const struct bpe_text *t, size_t n_text, int whole,
                      int strict)
{
    size_t k = 0;
    for (size_t i = 0; i < n_text; i++) {
        size_t at = 0, end;
        do {
            end = whole || t[i].n < 2 * PART ? t[i].n : cut(t[i].s, t[i].n, at, strict);
            if (part)
                part[k] = (struct part){.text = i, .from = at, .n = end - at};
            k++;
        } while ((at = end) < t[i].n);
    }
    return k;
}

static void failed(struct work *w, size_t k, const struct err *e)
{
    pthread_mutex_lock(&w->lock);
    if (k < w->bad) {
        w->bad = k;
        w->e = *e;
    }
    atomic_store(&w->next, w->n_part); /* those before have all been taken */
    pthread_mutex_unlock(&w->lock);
}

static void *encode_parts(void *arg)
{
    struct work *w = arg;
    size_t k;
    while ((k = atomic_fetch_add(&w->next, 1)) < w->n_part) {
        struct part *p = &w->part[k];
        struct err e = {0};
        p->n_ids = bpe_encode_at(w->b, w->text[p->text].s, p->from, p->n, w->flags, &p->ids, &e);
        if (p->n_ids < 0)
            failed(w, k, &e);
    }
    return NULL;
}

/* The ids of the parts, which are in order, to the texts. 0, or ERR_NOMEM. */
static int join(struct work *w, struct bpe_text *t)
{
    for (size_t k = 0, end; k < w->n_part; k = end) {
        struct part *p = &w->part[k];
        struct bpe_text *to = &t[p->text];
        to->n_ids = 0;
        for (end = k; end < w->n_part && w->part[end].text == p->text; end++)
            to->n_ids += w->part[end].n_ids;
        if (end > k + 1) {
            int32_t *v = realloc(p->ids, (size_t)to->n_ids * sizeof *v), *at;
            if (!v)
                return ERR_NOMEM;
            p->ids = v;
            at = v + p->n_ids;
            for (struct part *q = p + 1; q < w->part + end; at += q->n_ids, q++) {
                memcpy(at, q->ids, (size_t)q->n_ids * sizeof *v);
                free(q->ids);
                q->ids = NULL;
            }
        }
        to->ids = p->ids;
        p->ids = NULL;
    }
    return 0;
}

/* This thread encodes, and so many others as are wanted, useful and to be had. */
static void run(struct work *w, int n)
{
    pthread_t thread[MAX_THREADS];
    int started = 0;
    while (started < n - 1 && (size_t)started + 1 < w->n_part &&
           pthread_create(&thread[started], NULL, encode_parts, w) == 0)
        started++;
    encode_parts(w);
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

static int all_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int bpe_encode_many(const struct bpe *b, struct bpe_text *t, size_t n, int flags, int threads,
                    size_t *bad, struct err *e)
{
    int whole = threads == 1 || !may_cut(b), strict = b->head->pretok > PRETOK_LLAMA3, rc = 0;
    struct work w = {.b = b, .text = t, .flags = flags, .lock = PTHREAD_MUTEX_INITIALIZER};
    w.bad = w.n_part = cut_all(NULL, t, n, whole, strict);
    w.part = malloc((w.n_part + 1) * sizeof *w.part);
    *bad = 0;
    for (size_t i = 0; i < n; i++)
        t[i].ids = NULL;
    if (!w.part)
        return err_set(e, ERR_NOMEM, "out of memory for %zu texts", n);
    cut_all(w.part, t, n, whole, strict);
    threads = threads > 0 ? threads : all_cores();
    run(&w, threads < MAX_THREADS ? threads : MAX_THREADS);
    if (w.bad < w.n_part) {
        *bad = w.part[w.bad].text;
        rc = err_set(e, w.e.code, "%s", w.e.msg);
    } else if (join(&w, t))
        rc = err_set(e, ERR_NOMEM, "out of memory for the tokens of %zu texts", n);
    for (size_t k = 0; k < w.n_part; k++)
        free(w.part[k].ids);
    for (size_t i = 0; rc && i < n; i++) {
        free(t[i].ids);
        t[i].ids = NULL;
    }
    free(w.part);
    return rc;
}
