/* info_map - where everything lies in the files of a model: each byte is in one row */
#include "info.h"
#include <inttypes.h>
#include <stdlib.h>

static const struct mapfile *maps(const struct info *f, int *n)
{
    *n = f->gguf.map ? f->gguf.n_map : f->st.map ? f->st.n_map : 1;
    return f->gguf.map ? f->gguf.map : f->st.map ? f->st.map : &f->apr.map;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p < q ? -1 : 1) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

struct walk {
    struct info_row *row;
    int n;
    uint64_t at; /* the end of the rows so far, in their file */
};

static void put(struct walk *w, int file, uint64_t end, const char *what, const struct tensor *t)
{
    if (end > w->at || t)
        w->row[w->n++] = (struct info_row){file, w->at, end - w->at, what, t};
    w->at = end;
}

/* What is before the first tensor. */
static void put_head(struct walk *w, const struct info *f, int file, uint64_t end)
{
    const struct apr *a = &f->apr;
    if (a->meta && a->meta_end <= a->index_off && a->index_off <= end) {
        put(w, file, a->meta_off, "header", NULL);
        put(w, file, a->meta_end, "metadata", NULL);
        put(w, file, a->index_off, "padding", NULL);
        put(w, file, end, "index of tensors", NULL);
    } else {
        put(w, file, end, "header", NULL);
    }
}

int info_map(const struct info *f, struct info_row **row, int *n, struct err *e)
{
    int n_map;
    const struct mapfile *m = maps(f, &n_map);
    const struct tensor **t = malloc(((size_t)f->n_tensor + 1) * sizeof *t);
    struct walk w = {calloc(2 * (size_t)f->n_tensor + 6 * (size_t)n_map, sizeof *w.row), 0, 0};
    if (!t || !w.row) {
        free(t);
        free(w.row);
        return err_set(e, ERR_NOMEM, "%s: out of memory", f->path);
    }
    for (int i = 0; i < f->n_tensor; i++)
        t[i] = &f->tensor[i];
    qsort(t, (size_t)f->n_tensor, sizeof *t, by_place);
    for (int k = 0; k < n_map; k++) {
        int first = 1;
        w.at = 0;
        for (int i = 0; i < f->n_tensor; i++) {
            const uint8_t *p = t[i]->data;
            if (!p || p < m[k].p || p >= m[k].p + m[k].n)
                continue;
            const uint64_t off = (uint64_t)(p - m[k].p);
            if (first)
                put_head(&w, f, k, off);
            else
                put(&w, k, off, "padding", NULL);
            put(&w, k, off + t[i]->bytes, "tensor", t[i]);
            first = 0;
        }
        if (f->apr.meta && m[k].n - w.at >= 4) {
            put(&w, k, m[k].n - 4, "padding", NULL);
            put(&w, k, m[k].n, "CRC-32", NULL);
        }
        put(&w, k, m[k].n, first ? "header" : "padding", NULL);
    }
    free(t);
    *row = w.row;
    *n = w.n;
    return 0;
}

int info_map_text(const struct info *f, FILE *out, struct err *e)
{
    struct info_row *row;
    int n, n_map, file = -1;
    maps(f, &n_map);
    if (info_map(f, &row, &n, e) < 0)
        return e->code;
    for (int i = 0; i < n; i++) {
        if (n_map > 1 && row[i].file != file)
            fprintf(out, "file %d of %d\n", (file = row[i].file) + 1, n_map);
        fprintf(out, "%14" PRIu64 " %14" PRIu64 "  ", row[i].offset, row[i].bytes);
        if (row[i].t)
            fprintf(out, "%-7s ", tensor_type_name(row[i].t->type));
        info_put_text(out, row[i].t ? row[i].t->name : row[i].what);
        fputc('\n', out);
    }
    free(row);
    return 0;
}

int info_map_json(const struct info *f, struct json_out *j, struct err *e)
{
    struct info_row *row;
    int n;
    if (info_map(f, &row, &n, e) < 0)
        return e->code;
    json_begin(j, '[');
    for (int i = 0; i < n; i++) {
        json_begin(j, '{');
        json_kv_int(j, "file", row[i].file + 1);
        json_kv_int(j, "offset", (long long)row[i].offset);
        json_kv_int(j, "bytes", (long long)row[i].bytes);
        json_kv_str(j, "what", row[i].what);
        if (row[i].t)
            json_kv_str(j, "name", row[i].t->name);
        json_end(j, '}');
    }
    json_end(j, ']');
    free(row);
    return 0;
}
