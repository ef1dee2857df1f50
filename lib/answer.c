/* answer - text, stop strings and thinking of one answer, token by token */
#include "answer.h"
#include <stdlib.h>
#include <string.h>

static int append(struct answer_text *t, const char *p, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n) + 256;
        char *q = realloc(t->p, cap);
        if (!q)
            return ERR_NOMEM;
        t->p = q;
        t->cap = cap;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
    return 0;
}

int answer_reserve(struct answer *a, size_t bytes)
{
    struct answer_text *both[] = {&a->text, &a->thought};
    for (int i = 0; i < (a->think >= 0 ? 2 : 1); i++) {
        const size_t cap = both[i]->n + bytes + 1;
        char *p = cap > both[i]->cap ? realloc(both[i]->p, cap) : both[i]->p;
        if (!p)
            return ERR_NOMEM;
        both[i]->p = p;
        both[i]->cap = cap > both[i]->cap ? cap : both[i]->cap;
    }
    return 0;
}

/* Only the last few ids of the prompt can be the template's or the prefill's own: text that a user
 * wrote may hold the marks as well, further up. */
static int open_thought(const struct answer *a, const int32_t *prompt, int n)
{
    enum { LOOK_BACK = 8 };
    for (int i = n - 1; i >= 0 && i >= n - LOOK_BACK; i--) {
        if (prompt[i] == a->think_end)
            return 0;
        if (prompt[i] == a->think)
            return 1;
    }
    return 0;
}

int answer_begin(struct answer *a, const struct bpe *tok, const char *const *stop, int n_stop,
                 long budget, const char *prefill, const int32_t *prompt, int n_prompt,
                 struct err *e)
{
    memset(a, 0, sizeof *a);
    a->tok = tok;
    a->stop = stop;
    a->n_stop = n_stop;
    a->budget = budget;
    for (int i = 0; i < n_stop; i++)
        if (*stop[i]) {
            const unsigned last = (unsigned char)stop[i][strlen(stop[i]) - 1];
            a->ends[last / 32] |= 1u << last % 32;
        }
    a->think = bpe_id(tok, "<think>");
    a->think_end = bpe_id(tok, "</think>");
    if (a->think < 0 || a->think_end < 0)
        a->think = a->think_end = -1;
    else
        a->thinking = open_thought(a, prompt, prompt ? n_prompt : 0);
    if (append(&a->text, "", 0) < 0 || append(&a->thought, "", 0) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (prefill && !a->thinking) {
        if (append(&a->text, prefill, strlen(prefill)) < 0)
            return err_set(e, ERR_NOMEM, "out of memory");
        a->n_prefill = a->text.n;
    }
    return 0;
}

void answer_end(struct answer *a)
{
    free(a->text.p);
    free(a->thought.p);
    memset(a, 0, sizeof *a);
}

/* Where the longest stop string that ends with the text begins; SIZE_MAX if none ends there. */
static size_t stop_start(const struct answer *a)
{
    size_t start = SIZE_MAX, n = a->text.n;
    for (int i = 0; i < a->n_stop; i++) {
        size_t k = strlen(a->stop[i]);
        if (k && k <= n - a->n_prefill && memcmp(a->text.p + n - k, a->stop[i], k) == 0 &&
            n - k < start)
            start = n - k;
    }
    return start;
}

static int may_end(const struct answer *a, char c)
{
    return a->ends[(unsigned char)c / 32] >> (unsigned char)c % 32 & 1;
}

int answer_push(struct answer *a, int32_t id)
{
    size_t n = 0;
    if (a->think >= 0 && id == a->think && !a->thinking) {
        a->thinking = 1;
        return 0;
    }
    if (a->thinking && id == a->think_end) {
        a->thinking = 0;
        a->skip_newlines = 1;
        return 0;
    }
    a->n_thought += a->thinking;
    const char *p = bpe_is_special(a->tok, id) ? NULL : bpe_token(a->tok, id, &n);
    if (!p)
        return 0;
    if (a->thinking)
        return append(&a->thought, p, n);
    for (; a->skip_newlines && n && *p == '\n'; p++)
        n--;
    a->skip_newlines = a->skip_newlines && !n;
    while (n) { /* up to a byte that may complete a stop string, and look */
        size_t k = 0;
        while (k < n && !may_end(a, p[k]))
            k++;
        const size_t take = k < n ? k + 1 : n;
        if (append(&a->text, p, take) < 0)
            return ERR_NOMEM;
        const size_t start = k < n ? stop_start(a) : SIZE_MAX;
        if (start != SIZE_MAX) {
            a->text.n = start;
            a->text.p[start] = 0;
            return 1;
        }
        p += take;
        n -= take;
    }
    return 0;
}

int32_t answer_forced(const struct answer *a)
{
    return a->thinking && a->budget >= 0 && a->n_thought >= a->budget ? a->think_end : -1;
}

/* 1 if s ends with a proper beginning of a stop string of length k */
static int may_stop(const struct answer *a, size_t k)
{
    for (int i = 0; i < a->n_stop; i++)
        if (strlen(a->stop[i]) > k && memcmp(a->text.p + a->text.n - k, a->stop[i], k) == 0)
            return 1;
    return 0;
}

size_t answer_ready(const struct answer *a)
{
    size_t n = a->text.n, held = 0, k = n - a->n_prefill;
    for (int i = 0; i < a->n_stop; i++)
        if (strlen(a->stop[i]) > held)
            held = strlen(a->stop[i]);
    for (k = k < held ? k : held; k > 0 && !may_stop(a, k); k--)
        ;
    n -= k;
    for (size_t i = 1; i <= 3 && i <= n; i++) { /* a character whose last bytes are still to come */
        unsigned char c = (unsigned char)a->text.p[n - i];
        if (c >= 0xc0)
            return n - ((c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) > i ? i : 0);
        if (c < 0x80)
            break;
    }
    return n;
}
