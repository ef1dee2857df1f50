/* qa_peer - gates that compare with something else: other formats, a GPU, ollama */
#include "clock.h"
#include "export.h"
#include "qa_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- formats ---- */

/* The logits of another file of the model against those of this one: bits where `equal`, else the thresholds. */
static int same_logits(struct qa_job *j, struct qa_gate *g, const char *other, const char *what,
                       int equal)
{
    struct model m;
    struct err e = {0};
    float *a = NULL, *b = NULL;
    int32_t *ia = NULL, *ib = NULL;
    int na = 0, nb = 0, good = 0;
    if (model_load(&m, other, j->dev, KN_W_INFER, j->m.n_ctx < j->h.n_ctx ? j->m.n_ctx : 0, &e) <
        0) {
        qa_say(g, QA_FAIL, "%s: %s", what, e.msg);
        return 0;
    }
    if (qa_logits(&j->m, QA_PROMPT, &a, &ia, &na, &e) < 0 ||
        qa_logits(&m, QA_PROMPT, &b, &ib, &nb, &e) < 0)
        qa_say(g, QA_FAIL, "%s: %s", what, e.msg);
    else if (na != nb || memcmp(ia, ib, (size_t)na * sizeof *ia))
        qa_say(g, QA_FAIL, "%s: the prompt has other token ids (%d, here %d)", what, nb, na);
    else if (m.h.n_vocab != j->h.n_vocab)
        qa_say(g, QA_FAIL, "%s: %d rows of the embedding, here %d", what, m.h.n_vocab,
               j->h.n_vocab);
    else {
        const struct qa_near d = qa_compare(a, b, na, j->h.n_vocab);
        const int bits = memcmp(a, b, (size_t)na * (size_t)j->h.n_vocab * sizeof *a) == 0;
        const double top1 = (double)d.same / na;
        g->value = bits ? 1 : d.cosine;
        g->threshold = equal ? 1 : j->c->format_cosine;
        g->unit = "cosine";
        good = d.finite &&
               (equal ? bits : d.cosine >= j->c->format_cosine && top1 >= j->c->format_top1);
        char before[200]; /* what the gate compared already */
        snprintf(before, sizeof before, "%.190s%s", g->message, g->message[0] ? "; " : "");
        if (bits)
            qa_say(g, good ? QA_PASS : QA_FAIL, "%s%s: %d x %d logits equal to the bit", before,
                   what, na, j->h.n_vocab);
        else
            qa_say(g, good ? QA_PASS : QA_FAIL,
                   "%s%s: %d x %d logits, least cosine %.6f, %d of %d positions agree on the next "
                   "token, "
                   "largest difference %.3g",
                   before, what, na, j->h.n_vocab, d.cosine, d.same, na, d.most);
    }
    free(a);
    free(b);
    free(ia);
    free(ib);
    model_free(&m);
    return good;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* Out to a format and back again: the same logits to the bit, from the same ids. */
static int round_trip(struct qa_job *j, struct qa_gate *g, const char *dir, int gguf)
{
    char out[PATH_MAX + 16], back[PATH_MAX + 16];
    struct export_done ex;
    struct import_done im;
    const struct import_opts keep = {.type = IMPORT_KEEP, .threads = j->o->threads};
    struct err e = {0};
    int rc;
    snprintf(out, sizeof out, "%s/%s", dir, gguf ? "m.gguf" : "hf");
    snprintf(back, sizeof back, "%s/%s.apr", dir, gguf ? "gguf" : "hf");
    rc = gguf ? export_gguf(j->path, out, NULL, &ex, &e)
              : export_st(j->path, out, IMPORT_KEEP, NULL, NULL, &ex, &e);
    if (rc == 0)
        rc = gguf ? import_gguf(out, back, NULL, &im, &e)
                  : import_safetensors(out, back, &keep, &im, &e);
    const char *what = gguf ? "GGUF" : "SafeTensors";
    if (rc < 0)
        qa_say(g, QA_FAIL, "%s: %s", what, e.msg);
    const int good = rc == 0 && same_logits(j, g, back, what, 1);
    unlink(back);
    if (gguf)
        unlink(out);
    return good;
}

/* The weights that the model was made from, whatever their types. */
static int against_source(struct qa_job *j, struct qa_gate *g, const char *dir)
{
    char back[PATH_MAX + 16];
    struct stat st;
    struct import_done im;
    const struct import_opts keep = {.type = IMPORT_KEEP, .threads = j->o->threads};
    const char *in = j->o->source;
    const size_t n = strlen(in);
    struct err e = {0};
    snprintf(back, sizeof back, "%s/source.apr", dir);
    const int folder = stat(in, &st) == 0 && S_ISDIR(st.st_mode);
    const int rc = !folder && n > 5 && strcmp(in + n - 5, ".gguf") == 0
                       ? import_gguf(in, back, NULL, &im, &e)
                   : !folder && n > 4 && strcmp(in + n - 4, ".apr") == 0
                       ? 1
                       : import_safetensors(in, back, &keep, &im, &e);
    if (rc < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    const int good = rc >= 0 && same_logits(j, g, rc ? in : back, in, 0);
    unlink(back);
    return good;
}

static int has_type(const struct apr *a, int floats)
{
    for (int i = 0; i < a->n_tensor; i++)
        if (a->tensor[i].ndim == 2 &&
            (floats ? kn_type_info(a->tensor[i].type)->block_len > 1 : a->tensor[i].type == KN_NF4))
            return 1;
    return 0;
}

void qa_formats(struct qa_job *j, struct qa_gate *g)
{
    char dir[PATH_MAX];
    const char *tmp = j->o->tmp ? j->o->tmp : getenv("TMPDIR");
    const int gguf = !has_type(&j->file, 0), st = !has_type(&j->file, 1);
    snprintf(dir, sizeof dir, "%s/apr-qa.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!gguf && !j->o->source) {
        qa_say(g, QA_SKIP, "GGUF has no NF4, and there is no --safetensors-path to compare with");
        return;
    }
    if (!mkdtemp(dir)) {
        qa_say(g, QA_FAIL, "%s: %s", dir, strerror(errno));
        return;
    }
    (void)((!gguf || round_trip(j, g, dir, 1)) && (!st || round_trip(j, g, dir, 0)) &&
           (!j->o->source || against_source(j, g, dir)));
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a GPU ---- */

/* The model on the second device; 0 with g skipped or failed. */
static int on_gpu(struct qa_job *j, struct qa_gate *g, struct kn_dev **dev, struct model *m)
{
    struct err e = {0};
    const int rc = kn_open(dev, j->o->gpu, j->o->threads);
    if (rc < 0) {
        qa_say(g, QA_SKIP, "no device %s on this machine: %s", j->o->gpu, kn_strerror(rc));
        return 0;
    }
    if (model_load(m, j->path, *dev, KN_W_INFER, j->m.n_ctx < j->h.n_ctx ? j->m.n_ctx : 0, &e) == 0)
        return 1;
    qa_say(g, QA_FAIL, "%s: %s", j->o->gpu, e.msg);
    kn_close(*dev);
    return 0;
}

void qa_speedup(struct qa_job *j, struct qa_gate *g)
{
    struct kn_dev *dev;
    struct model m;
    if (!on_gpu(j, g, &dev, &m))
        return;
    const double here = qa_rate(&j->m, j->c, g), there = isnan(here) ? NAN : qa_rate(&m, j->c, g);
    if (!isnan(there)) {
        g->value = there / here;
        g->threshold = j->c->gpu_speedup;
        g->unit = "x";
        qa_say(g, g->value >= g->threshold ? QA_PASS : QA_FAIL,
               "%.1f tokens a second on %s, %.1f on %s: %.2f times as fast, at least %g", there,
               dev->name, here, j->dev->name, g->value, g->threshold);
    }
    model_free(&m);
    kn_close(dev);
}

/* All logits of a real prompt, in double: upstream compares the kernels that it generated. */
void qa_ptx(struct qa_job *j, struct qa_gate *g)
{
    struct kn_dev *dev;
    struct model m;
    struct err e = {0};
    float *a = NULL, *b = NULL;
    int32_t *ia = NULL, *ib = NULL;
    int n, nb;
    if (!on_gpu(j, g, &dev, &m))
        return;
    if (qa_logits(&j->m, QA_PROMPT, &a, &ia, &n, &e) < 0 ||
        qa_logits(&m, QA_PROMPT, &b, &ib, &nb, &e) < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else {
        const struct qa_near d = qa_compare(a, b, n, j->h.n_vocab);
        g->value = d.cosine;
        g->threshold = j->c->gpu_cosine;
        g->unit = "cosine";
        qa_say(g, d.finite && d.cosine >= g->threshold ? QA_PASS : QA_FAIL,
               "%d x %d logits of %s and %s: least cosine %.6f, at least %g; largest difference "
               "%.3g; %d of %d "
               "positions agree on the next token",
               n, j->h.n_vocab, dev->name, j->dev->name, d.cosine, g->threshold, d.most, d.same, n);
    }
    free(a);
    free(b);
    free(ia);
    free(ib);
    model_free(&m);
    kn_close(dev);
}

/* An answer is the same alone, after another and beside others. */
void qa_isolation(struct qa_job *j, struct qa_gate *g)
{
    static const char *const alone[] = {QA_PROMPT};
    static const char *const after[] = {"Count from one to twenty.", QA_PROMPT,
                                        "Write a C function that reverses a string.", QA_PROMPT};
    char *first[1] = {0}, *turn[4] = {0}, *batch[4] = {0};
    struct kn_dev *dev;
    struct model m;
    struct err e = {0};
    enum { TOKENS = 32 };
    if (!on_gpu(j, g, &dev, &m))
        return;
    if (qa_answers(&m, alone, 1, 1, TOKENS, first, &e) < 0 ||
        qa_answers(&m, after, 4, 1, TOKENS, turn, &e) < 0 ||
        qa_answers(&m, after, 4, 4, TOKENS, batch, &e) < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else {
        int same = 0, others = 0;
        for (int i = 1; i < 4; i += 2)
            same += (strcmp(turn[i], first[0]) == 0) + (strcmp(batch[i], first[0]) == 0);
        for (int i = 0; i < 4; i += 2) /* else equal answers would say nothing */
            others += strcmp(turn[i], first[0]) != 0;
        g->value = same;
        g->threshold = 4;
        g->unit = "answers";
        qa_say(g, same == 4 && others == 2 ? QA_PASS : QA_FAIL,
               "on %s %d of 4 answers after and beside others are those of the prompt alone%s",
               dev->name, same, others == 2 ? "" : "; but other prompts have the same answer");
    }
    free(first[0]);
    for (int i = 0; i < 4; i++) {
        free(turn[i]);
        free(batch[i]);
    }
    model_free(&m);
    kn_close(dev);
}

/* ---- ollama ---- */

/* Run argv, its standard input empty; what it says on both outputs into text (n bytes at most). Its status, or
 * -1 with errno; 127 if there is no such program; a run of more than `seconds` is ended. */
static int run(const char *const *argv, char *text, size_t n, int seconds)
{
    posix_spawn_file_actions_t a;
    int fd[2], status, rc;
    size_t at = 0;
    pid_t pid;
    if (pipe(fd) < 0)
        return -1;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&a, fd[1], 1);
    posix_spawn_file_actions_adddup2(&a, fd[1], 2);
    posix_spawn_file_actions_addclose(&a, fd[0]);
    rc = posix_spawnp(&pid, argv[0], &a, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&a);
    close(fd[1]);
    const double end = clock_now() + seconds;
    for (ssize_t k = 1; rc == 0 && k > 0 && at + 1 < n;) {
        const double left = end - clock_now();
        struct pollfd p = {.fd = fd[0], .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)(left * 1e3)) <= 0) {
            kill(pid, SIGKILL);
            break;
        }
        if ((k = read(fd[0], text + at, n - at - 1)) > 0)
            at += (size_t)k;
    }
    text[at] = 0;
    close(fd[0]);
    if (rc) {
        errno = rc;
        return rc == ENOENT ? 127 : -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Its own word on its speed: "eval rate:   12.34 tokens/s", not the prompt's. */
static double eval_rate(const char *text)
{
    double rate = NAN;
    for (const char *p = text; (p = strstr(p, "eval rate:")); p++) {
        char *end;
        const double v = strtod(p + strlen("eval rate:"), &end);
        if ((p - text < 7 || strncmp(p - 7, "prompt ", 7)) &&
            strstr(end, "token") == end + strspn(end, " "))
            rate = v;
    }
    return rate;
}

void qa_ollama(struct qa_job *j, struct qa_gate *g)
{
    static const char *const version[] = {"ollama", "--version", NULL};
    const char *const ask[] = {"ollama", "run", "--verbose", j->o->ollama, QA_PROMPT, NULL};
    enum { SIZE = 1 << 16, SECONDS = 600 };
    char *text = malloc(SIZE);
    int rc;
    if (!text)
        qa_say(g, QA_FAIL, "out of memory");
    else if ((rc = run(version, text, SIZE, SECONDS)) == 127)
        qa_say(g, QA_SKIP, "ollama is not on this machine");
    else if (!j->o->ollama)
        qa_say(g, QA_SKIP, "the model's name in ollama was not given (--ollama)");
    else if (rc || (rc = run(ask, text, SIZE, SECONDS)))
        qa_say(g, QA_FAIL, "ollama run %s: status %d: %.200s", j->o->ollama, rc, text);
    else {
        const double theirs = eval_rate(text), ours = isnan(theirs) ? NAN : qa_rate(&j->m, j->c, g);
        if (!(theirs > 0))
            qa_say(g, QA_FAIL, "ollama run --verbose %s did not say its eval rate", j->o->ollama);
        else if (!isnan(ours)) {
            g->value = ours / theirs;
            g->threshold = j->c->ollama_ratio;
            g->unit = "x";
            qa_say(g, g->value >= g->threshold ? QA_PASS : QA_FAIL,
                   "%.1f tokens a second, ollama %.1f: %.2f times as fast, at least %g", ours,
                   theirs, g->value, g->threshold);
        }
    }
    free(text);
}
