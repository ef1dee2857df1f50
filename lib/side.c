/* side - a model of any format for who compares, whole or by its tensors alone */
#include "side.h"
#include "hub.h"
#include "import.h"
#include "info.h"
#include <stdlib.h>
#include <string.h>

struct showing {
    struct side s;
    int (*look)(void *arg, const struct side *s, struct err *e);
    void *arg;
    int shown; /* look was called: what it says is not about the file */
};

static int show(void *arg, const struct view *v, struct err *e)
{
    struct showing *w = arg;
    w->s.v = v;
    w->s.whole = w->s.has_h = w->shown = 1;
    return w->look(w->arg, &w->s, e);
}

static int show_apr(struct showing *w, struct err *e)
{
    struct apr a;
    struct view v = {.name = NULL};
    int rc = apr_open(&a, w->s.path, e);
    if (rc < 0)
        return rc;
    if ((rc = view_apr(&v, &a, e)) == 0)
        rc = show(w, &v, e);
    view_apr_free(&v);
    apr_close(&a);
    return rc;
}

/* ---- by its tensors alone ---- */

static void forget(void *arg, const struct tensor *t)
{
    const struct info *f = arg;
    const struct mapfile *m = f->gguf.map ? f->gguf.map : f->st.map ? f->st.map : &f->apr.map;
    const int n = f->gguf.map ? f->gguf.n_map : f->st.map ? f->st.n_map : 1;
    const uint8_t *p = t->data;
    for (int i = 0; i < n; i++)
        if (m[i].p && p >= m[i].p && p < m[i].p + m[i].n)
            mapfile_forget(&m[i], p, t->bytes);
}

static int nothing_to_fill(void *arg, int i, void *buf, struct err *e)
{
    (void)arg, (void)i, (void)buf;
    return err_set(e, ERR_SOFTWARE, "a tensor without data");
}

static struct tensor *find(const struct info *f, const char *name)
{
    struct tensor key;
    snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, f->tensor, (size_t)f->n_tensor, sizeof key, tensor_by_name);
}

/* Tensors of the architecture under the names of .apr, parts of one apart; the rest under their own.
 * t: room for all of both. */
static int name_tensors(const struct info *f, struct tensor *t, char *used, int n_wanted)
{
    const int gguf = strcmp(f->format, "gguf") == 0;
    struct import_want w;
    struct err none = {0};
    int n = 0;
    for (int i = 0; i < n_wanted && import_wanted(&f->h, i, &w); i++) {
        const struct tensor *from = find(f, gguf ? w.gguf : w.hf);
        struct tensor part;
        if (!from)
            continue;
        if ((gguf ? w.part.gguf : w.part.hf) &&
            !(from = import_part(&w, from, w.name, &part, &none)))
            continue;
        used[find(f, gguf ? w.gguf : w.hf) - f->tensor] = 1;
        t[n] = *from;
        memcpy(t[n++].name, w.name, sizeof w.name);
    }
    for (int i = 0; i < f->n_tensor; i++)
        if (!used[i])
            t[n++] = f->tensor[i];
    return n;
}

static int show_tensors(struct showing *w, struct err *e)
{
    struct info f;
    struct import_want want;
    int rc = info_open(&f, w->s.path, e), n_wanted = 0;
    if (rc < 0)
        return rc;
    while (f.has_h && strcmp(f.format, "apr") && import_wanted(&f.h, n_wanted, &want))
        n_wanted++;
    struct tensor *t = malloc(((size_t)f.n_tensor + (size_t)n_wanted + 1) * sizeof *t);
    char *used = calloc((size_t)f.n_tensor + 1, 1);
    if (t && used) {
        const int n = name_tensors(&f, t, used, n_wanted);
        const struct view v = {.name = w->s.path,
                               .h = f.h,
                               .t = t,
                               .n = n,
                               .fill = nothing_to_fill,
                               .forget = forget,
                               .arg = &f};
        qsort(t, (size_t)n, sizeof *t, tensor_by_name);
        w->s.v = &v;
        w->s.has_h = f.has_h;
        rc = w->look(w->arg, &w->s, e);
    } else {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", w->s.path);
    }
    free(t);
    free(used);
    info_close(&f);
    return rc;
}

/* Was it shown, or is it no use to try in another way?  Else the reason is noted. */
static int give_up(struct showing *w, int rc, struct err *e)
{
    if (rc == 0 || w->shown || rc == ERR_NOMEM)
        return 1;
    snprintf(w->s.why, sizeof w->s.why, "%s", e->msg);
    *e = (struct err){0};
    return 0;
}

int side_open(const char *path, int (*look)(void *arg, const struct side *s, struct err *e),
              void *arg, struct err *e)
{
    struct showing w = {.look = look, .arg = arg};
    char file[PATH_MAX];
    const char *format;
    int rc;
    if (hub_operand(path, file, e) < 0 || !(format = info_format(file, e)))
        return e->code;
    w.s.path = file;
    rc = strcmp(format, "apr") == 0    ? show_apr(&w, e)
         : strcmp(format, "gguf") == 0 ? view_gguf(file, show, &w, e)
                                       : view_safetensors(file, 0, show, &w, e);
    if (give_up(&w, rc, e))
        return rc;
    if (strcmp(format, "safetensors") ==
        0) { /* weights and numbers without a tokenizer are a model too */
        struct err again = {0};
        rc = view_safetensors(file, 1, show, &w, &again);
        if (rc == 0 || w.shown || rc == ERR_NOMEM) {
            *e = again;
            return rc;
        }
    }
    return show_tensors(&w, e);
}
