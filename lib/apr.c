/* apr - read and write the .apr container, version 2.0 (apr.5) */
#include "apr.h"
#include "apr_meta.h"
#include "blocks.h"
#include "cli.h"
#include "hash.h"
#include "outfile.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and mapped as they are");

enum {
    HEADER = 64,
    ALIGN = 64,
    MIN_ENTRY = 2 + 1 + 1 + 1 + 8 + 8, /* one-byte name, no dims */
    META_MAX = 16 << 20                /* aprender's MAX_METADATA_SIZE */
};
enum { /* header flags */
       F_LZ4 = 1,
       F_ZSTD = 2,
       F_ENCRYPTED = 4,
       F_SHARDED = 0x10,
       F_QUANTIZED = 0x20,
       F_VOCAB = 0x200,
       F_ROW_MAJOR = 0x400,
       F_COLUMN_MAJOR = 0x800
};

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)n);
    return v;
}

static uint32_t header_crc(const uint8_t *h)
{
    return hash_crc32(hash_crc32(0, h, 40), h + 44, 20);
}

/* ---- types: a byte of the index means one of several, and the size decides ---- */

static const struct {
    uint8_t byte, type;
} meanings[] = {
    // clang-format off
    {0, KN_F32}, {1, KN_F16}, {2, KN_Q4_0}, {3, TENSOR_F64}, {3, KN_Q4_1}, {4, KN_I32}, {5, TENSOR_I64},
    {6, TENSOR_I8}, {6, KN_Q5_0}, {7, TENSOR_U8}, {7, KN_Q5_1}, {8, KN_Q8_0}, {8, TENSOR_APR_Q4},
    {9, TENSOR_APR_Q8}, {9, 9}, {10, 10}, {11, 11}, {12, KN_Q4_K}, {13, KN_Q5_K}, {14, KN_Q6_K}, {15, 15},
    {16, 16}, {17, 17}, {18, 18}, {19, 19}, {20, 20}, {21, 21}, {22, 22}, {23, 23}, {24, TENSOR_I8},
    {25, TENSOR_I16}, {26, KN_I32}, {27, TENSOR_I64}, {28, TENSOR_F64}, {29, 29}, {30, KN_BF16}, {34, 34},
    {35, 35}, {39, 39}, {128, TENSOR_APR_Q4}, {129, TENSOR_APR_Q8},
    // clang-format on
};

/* The byte that aprender's reader takes for a type; its own meanings of 3..7 where it has one. */
static int type_byte(int type)
{
    static const uint8_t plain[][2] = {
        {TENSOR_F64, 3}, {KN_I32, 4}, {TENSOR_I64, 5}, {TENSOR_I8, 6}, {TENSOR_U8, 7}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (plain[i][0] == type)
            return plain[i][1];
    return type;
}

static int can_mean(int byte, int type)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].byte == byte && meanings[i].type == type)
            return 1;
    return byte == type && type >= TENSOR_U8 && tensor_type_block(type);
}

/* Type of an entry from its byte and size, or from the name that the writer recorded. */
static int resolve(const struct apr *a, struct tensor *t, int byte, const cJSON *named,
                   struct err *e)
{
    size_t n = 0;
    char shape[200];
    /* A name that fits neither byte nor size is left over from another writer that kept our keys.
     */
    int type = cJSON_IsString(named) ? tensor_type_by_name(named->valuestring) : -1;
    if (type >= 0 && can_mean(byte, type) && tensor_size(type, t->ndim, t->dim, &n) &&
        n == t->bytes) {
        t->type = type;
        return 0;
    }
    t->type = -1;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (meanings[i].byte != byte)
            continue;
        if (t->type < 0)
            t->type = meanings[i].type;
        if (tensor_size(meanings[i].type, t->ndim, t->dim, &n) && n == t->bytes) {
            t->type = meanings[i].type;
            return 0;
        }
    }
    if (t->type < 0 && can_mean(byte, byte)) {
        t->type = byte;
        if (tensor_size(byte, t->ndim, t->dim, &n) && n == t->bytes)
            return 0;
    }
    if (t->type < 0)
        return err_set(e, ERR_DATA, "%s: tensor %s: unknown type %d", a->path, t->name, byte);
    return err_set(e, ERR_DATA,
                   "%s: tensor %s: size %zu fits no type of byte %d (%s ...) with shape %s",
                   a->path, t->name, t->bytes, byte, tensor_type_name(t->type),
                   tensor_shape(t, shape, sizeof shape));
}

/* ---- reading ---- */

static int read_header(struct apr *a, uint64_t *meta_off, uint64_t *meta_n, uint64_t *index_off,
                       struct err *e)
{
    static const struct {
        int flag;
        const char *what;
    } refused[] = {{F_LZ4, "LZ4-compressed"},
                   {F_ZSTD, "zstd-compressed"},
                   {F_ENCRYPTED, "encrypted"},
                   {F_SHARDED, "one shard of several"},
                   {F_COLUMN_MAJOR, "column-major"}};
    const uint8_t *p = a->map.p;
    if (a->map.n < HEADER + 4)
        return err_set(e, ERR_DATA, "%s: truncated: %zu bytes, a .apr file has at least %d",
                       a->path, a->map.n, HEADER + 4);
    if (memcmp(p, "APR", 4))
        return err_set(e, ERR_DATA,
                       "%s: not a .apr file: expected magic 41505200, found %02x%02x%02x%02x",
                       a->path, p[0], p[1], p[2], p[3]);
    if (p[4] != 2)
        return err_set(e, ERR_DATA, "%s: .apr version %d.%d, expected 2.x", a->path, p[4], p[5]);
    if (header_crc(p) != (uint32_t)get(p + 40, 4))
        return err_set(e, ERR_DATA, "%s: header CRC: expected %08" PRIx32 ", found %08" PRIx32,
                       a->path, header_crc(p), (uint32_t)get(p + 40, 4));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (get(p + 6, 2) & (unsigned)refused[i].flag)
            return err_set(e, ERR_DATA, "%s: the file is %s (flags %04x): not supported", a->path,
                           refused[i].what, (unsigned)get(p + 6, 2));
    *meta_off = get(p + 12, 8);
    *meta_n = get(p + 20, 4);
    *index_off = get(p + 24, 8);
    a->data_off = get(p + 32, 8);
    uint64_t end = a->map.n - 4;
    if (*meta_off < HEADER || *meta_off > end || *meta_n > end - *meta_off)
        return err_set(e, ERR_DATA,
                       "%s: metadata at %" PRIu64 "+%" PRIu64 " is outside the file (%zu bytes)",
                       a->path, *meta_off, *meta_n, a->map.n);
    if (a->data_off > end || *index_off < HEADER || *index_off > a->data_off)
        return err_set(e, ERR_DATA,
                       "%s: tensor index at %" PRIu64 ", data at %" PRIu64
                       ": out of order or outside the file (%zu bytes)",
                       a->path, *index_off, a->data_off, a->map.n);
    if (*meta_off<a->data_off && * meta_off + *meta_n> * index_off && *meta_off < *index_off)
        return err_set(e, ERR_DATA, "%s: metadata overlaps the tensor index at %" PRIu64, a->path,
                       *index_off);
    if (*meta_off % ALIGN || *index_off % ALIGN || a->data_off % ALIGN)
        return err_set(e, ERR_DATA,
                       "%s: sections at %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       ": expected multiples of %d",
                       a->path, *meta_off, *index_off, a->data_off, ALIGN);
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Members of the object in ascending order of keys, as the index has them. */
static int sort_names(const cJSON *o, const cJSON ***names, size_t *n)
{
    *n = 0;
    if (!cJSON_IsObject(o))
        return 0;
    for (const cJSON *v = o->child; v; v = v->next)
        ++*n;
    if (!(*names = malloc((*n + 1) * sizeof **names)))
        return ERR_NOMEM;
    *n = 0;
    for (const cJSON *v = o->child; v; v = v->next)
        (*names)[(*n)++] = v;
    qsort(*names, *n, sizeof **names, by_key);
    return 0;
}

static int read_entry(struct apr *a, int i, uint64_t *at, const cJSON **names, size_t n_names,
                      size_t *next, struct err *e)
{
    const uint8_t *p = a->map.p;
    struct tensor *t = &a->tensor[i];
    uint64_t pos = *at, off, end = a->data_off, room = a->map.n - 4 - a->data_off;
    if (end - pos < MIN_ENTRY)
        return err_set(e, ERR_DATA, "%s: tensor index: truncated in entry %d at %" PRIu64, a->path,
                       i, pos);
    size_t n = get(p + pos, 2);
    pos += 2;
    if (n < 1 || n > TENSOR_NAME || end - pos < n + 18)
        return err_set(e, ERR_DATA, "%s: tensor index: entry %d at %" PRIu64 ": name of %zu bytes",
                       a->path, i, *at, n);
    memcpy(t->name, p + pos, n);
    if (memchr(t->name, 0, n) || !utf8_valid(t->name, n))
        return err_set(e, ERR_DATA,
                       "%s: tensor index: entry %d at %" PRIu64 ": name is not UTF-8 text", a->path,
                       i, *at);
    pos += n;
    if (i && strcmp(t->name, t[-1].name) <= 0)
        return err_set(e, ERR_DATA, "%s: tensor index: %s follows %s: expected ascending names",
                       a->path, t->name, t[-1].name);
    while (*next < n_names && strcmp(names[*next]->string, t->name) < 0)
        ++*next;
    const cJSON *named =
        *next < n_names && strcmp(names[*next]->string, t->name) == 0 ? names[*next] : NULL;
    int byte = p[pos];
    t->ndim = p[pos + 1];
    pos += 2;
    if (t->ndim > TENSOR_DIMS)
        return err_set(e, ERR_DATA, "%s: tensor %s: %d dims, at most %d", a->path, t->name, t->ndim,
                       TENSOR_DIMS);
    if (end - pos < 8 * (uint64_t)t->ndim + 16)
        return err_set(e, ERR_DATA, "%s: tensor %s: entry runs into the data at %" PRIu64, a->path,
                       t->name, end);
    for (int d = 0; d < t->ndim; d++, pos += 8)
        t->dim[d] = get(p + pos, 8);
    off = get(p + pos, 8);
    t->bytes = get(p + pos + 8, 8);
    *at = pos + 16;
    if (off % ALIGN)
        return err_set(e, ERR_DATA, "%s: tensor %s: offset %" PRIu64 ", expected a multiple of %d",
                       a->path, t->name, off, ALIGN);
    if (off > room || t->bytes > room - off)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: truncated: bytes %" PRIu64
                       "+%zu of the data section, which has %" PRIu64,
                       a->path, t->name, off, t->bytes, room);
    t->data = p + a->data_off + off;
    return resolve(a, t, byte, named, e);
}

/* The last tensor is padded to 64 bytes before the footer; a writer that left the padding out is
 * borne with, anything in between is a file cut short. */
static int check_end(const struct apr *a, struct err *e)
{
    uint64_t end = a->data_off;
    for (int i = 0; i < a->n_tensor; i++) {
        const struct tensor *t = &a->tensor[i];
        uint64_t stop = (uint64_t)((const uint8_t *)t->data - a->map.p) + t->bytes;
        end = stop > end ? stop : end;
    }
    uint64_t whole = (end + ALIGN - 1) / ALIGN * ALIGN + 4;
    if (a->map.n < whole && a->map.n != end + 4)
        return err_set(e, ERR_DATA, "%s: truncated: %zu bytes, expected %" PRIu64, a->path,
                       a->map.n, whole);
    return 0;
}

int apr_open(struct apr *a, const char *path, struct err *e)
{
    uint64_t meta_off = 0, meta_n = 0, at = 0;
    const cJSON **names = NULL;
    size_t n_names = 0, next = 0;
    int rc, bad;
    char where[400];
    memset(a, 0, sizeof *a);
    if (!(a->path = strdup(path)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = mapfile_open(&a->map, a->path, e)) < 0 ||
        (rc = read_header(a, &meta_off, &meta_n, &at, e)) < 0)
        goto fail;
    snprintf(where, sizeof where, "%s: metadata", path);
    if (!(a->meta = apr_meta_parse((const char *)a->map.p + meta_off, meta_n, where, e))) {
        rc = e && e->code ? e->code : ERR_DATA;
        goto fail;
    }
    if (!cJSON_IsObject(a->meta)) {
        rc = err_set(e, ERR_DATA, "%s: expected a JSON object", where);
        goto fail;
    }
    uint64_t count = get(a->map.p + 8, 4);
    if (count > (a->data_off - at) / MIN_ENTRY) {
        rc = err_set(e, ERR_DATA,
                     "%s: %" PRIu64 " tensors do not fit in an index of %" PRIu64 " bytes", path,
                     count, a->data_off - at);
        goto fail;
    }
    if (!(a->tensor = calloc(count + 1, sizeof *a->tensor))) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto fail;
    }
    if ((rc = sort_names(cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_types"), &names,
                         &n_names)) < 0) {
        err_set(e, rc, "%s: out of memory", path);
        goto fail;
    }
    for (a->n_tensor = 0; (uint64_t)a->n_tensor < count; a->n_tensor++)
        if ((rc = read_entry(a, a->n_tensor, &at, names, n_names, &next, e)) < 0)
            goto fail;
    if ((rc = check_end(a, e)) < 0)
        goto fail;
    if ((bad = tensor_overlap(a->tensor, a->n_tensor)) != -1) {
        rc = bad < 0 ? err_set(e, ERR_NOMEM, "%s: out of memory", path)
                     : err_set(e, ERR_DATA, "%s: tensor %s: overlaps another tensor", path,
                               a->tensor[bad].name);
        goto fail;
    }
    free(names);
    return 0;
fail:
    free(names);
    apr_close(a);
    return rc;
}

void apr_close(struct apr *a)
{
    cJSON_Delete(a->meta);
    free(a->tensor);
    mapfile_close(&a->map);
    free(a->path);
    memset(a, 0, sizeof *a);
}

const struct tensor *apr_tensor(const struct apr *a, const char *name)
{
    int lo = 0, hi = a->n_tensor;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2, c = strcmp(name, a->tensor[mid].name);
        if (c == 0)
            return &a->tensor[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

int apr_verify_tensors(const struct apr *a, int (*skip)(void *arg, const struct tensor *t),
                       void *arg, struct err *e)
{
    const cJSON *hashes = cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64");
    for (const cJSON *h = hashes ? hashes->child : NULL; h; h = h->next) {
        const struct tensor *t = h->string ? apr_tensor(a, h->string) : NULL;
        char found[20];
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor_xxh64 names %.100s, which is not in the index",
                           a->path, h->string ? h->string : "nothing");
        if (skip && skip(arg, t))
            continue;
        snprintf(found, sizeof found, "%016" PRIx64, hash_xxh64(t->data, t->bytes, 0));
        mapfile_forget(&a->map, t->data, t->bytes);
        if (!cJSON_IsString(h) || strcmp(found, h->valuestring))
            return err_set(e, ERR_DATA, "%s: tensor %s: hash: expected %.20s, found %s", a->path,
                           t->name, cJSON_IsString(h) ? h->valuestring : "a string", found);
    }
    return 0;
}

uint64_t apr_weights_id(const struct apr *a)
{
    const cJSON *hashes = cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64");
    uint64_t id = 0;
    for (const cJSON *h = hashes ? hashes->child : NULL; h; h = h->next)
        if (h->string && cJSON_IsString(h)) {
            id = hash_xxh64(h->string, strlen(h->string), id);
            id = hash_xxh64(h->valuestring, strlen(h->valuestring), id);
        }
    return id;
}

int apr_verify(const struct apr *a, struct err *e)
{
    size_t n = a->map.n - 4;
    if (apr_verify_tensors(a, NULL, NULL, e) < 0)
        return e->code;
    enum { PIECE = 16 << 20 }; /* what is behind us need not stay in memory */
    uint32_t want = (uint32_t)get(a->map.p + n, 4), crc = 0;
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t k = n - at < PIECE ? n - at : PIECE;
        crc = hash_crc32(crc, a->map.p + at, k);
        mapfile_forget(&a->map, a->map.p + at, k);
    }
    if (crc != want)
        return err_set(e, ERR_DATA, "%s: file CRC: expected %08" PRIx32 ", found %08" PRIx32,
                       a->path, want, crc);
    return 0;
}

/* ---- writing ---- */

struct writer {
    const struct tensor *t;
    int n;
    int *order;
    uint64_t *off;  /* in the data section, by position in order */
    uint64_t *hash; /* by position in order */
    uint64_t data_n;
    uint8_t *head; /* header, metadata, index: all before the data */
    size_t head_n;
    int (*fill)(void *, int, void *, struct err *);
    void *arg, *buf;
    struct apr_receipt *receipt; /* or NULL */
};

static const struct tensor *sort_base; /* qsort has no argument; writers do not run side by side */
static int by_name_of_index(const void *a, const void *b)
{
    return strcmp(sort_base[*(const int *)a].name, sort_base[*(const int *)b].name);
}

static int check_tensors(struct writer *w, const char *path, struct err *e)
{
    uint64_t off = 0;
    char shape[200];
    for (int i = 0; i < w->n; i++)
        w->order[i] = i;
    sort_base = w->t;
    qsort(w->order, (size_t)w->n, sizeof *w->order, by_name_of_index);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        size_t need;
        if (k && strcmp(t->name, w->t[w->order[k - 1]].name) == 0)
            return err_set(e, ERR_SOFTWARE, "%s: tensor %s: given twice", path, t->name);
        if (!t->name[0] || !utf8_valid(t->name, strlen(t->name)))
            return err_set(e, ERR_DATA, "%s: tensor %d: name is empty or no UTF-8", path,
                           w->order[k]);
        if (!tensor_size(t->type, t->ndim, t->dim, &need) || need != t->bytes)
            return err_set(e, ERR_DATA, "%s: tensor %s: %s %s does not take %zu bytes", path,
                           t->name, tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape),
                           t->bytes);
        w->off[k] = off;
        off += (t->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    w->data_n = off;
    return 0;
}

static void set_item(cJSON *o, const char *key, cJSON *v)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    cJSON_AddItemToObject(o, key, v);
}

/* aprender's description of the type that most of the quantized bytes have. */
static void describe_quantization(const struct writer *w, cJSON *m)
{
    size_t bytes[256] = {0};
    int most = 0;
    cJSON_DeleteItemFromObjectCaseSensitive(m, "quantization");
    for (int i = 0; i < w->n; i++)
        if (tensor_type_block(w->t[i].type) > 1) {
            bytes[w->t[i].type] += w->t[i].bytes;
            most = bytes[w->t[i].type] > bytes[most] ? w->t[i].type : most;
        }
    const struct kn_type_info *k = kn_type_info(most);
    if (!bytes[most] || !k->name || !k->block_len)
        return;
    cJSON *q = cJSON_AddObjectToObject(m, "quantization");
    cJSON_AddStringToObject(q, "quant_type", k->name);
    cJSON_AddNumberToObject(q, "bits", k->block_bytes * 8 / k->block_len);
    cJSON_AddNumberToObject(q, "block_size", k->block_len);
    cJSON_AddBoolToObject(q, "symmetric",
                          most == KN_Q4_0 || most == KN_Q5_0 || most == KN_Q8_0 || most == KN_Q6_K);
}

/* Its text and so many spaces, which JSON takes no notice of, that its size does not depend on it. */
static int add_receipt(cJSON *m, const char *text)
{
    char slot[APR_RECEIPT];
    snprintf(slot, sizeof slot, "%-*s", APR_RECEIPT - 1, text);
    return cJSON_AddRawToObject(m, "receipt", slot) != NULL;
}

/* What the writer must record. */
static cJSON *complete_meta(const struct writer *w, const cJSON *meta)
{
    cJSON *m = meta ? cJSON_Duplicate(meta, 1) : cJSON_CreateObject(),
          *types = cJSON_CreateObject(), *hashes = cJSON_CreateObject();
    static const char *const nulls[] = {"license", "data_source", "data_license"};
    double params = 0, bytes = 0;
    if (!m || !types || !hashes) {
        cJSON_Delete(m);
        cJSON_Delete(types);
        cJSON_Delete(hashes);
        return NULL;
    }
    if (!cJSON_GetObjectItemCaseSensitive(m, "model_type"))
        cJSON_AddStringToObject(m, "model_type", "");
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls;
         i++) /* aprender writes these even when null */
        if (!cJSON_GetObjectItemCaseSensitive(m, nulls[i]))
            cJSON_AddNullToObject(m, nulls[i]);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        char hex[20];
        if (strcmp(t->name, APR_TOKENIZER))
            params += (double)tensor_count(t);
        bytes += (double)t->bytes;
        snprintf(hex, sizeof hex, "%016" PRIx64, w->hash[k]);
        cJSON_AddStringToObject(types, t->name, tensor_type_name(t->type));
        cJSON_AddStringToObject(hashes, t->name, hex);
    }
    set_item(m, "param_count", cJSON_CreateNumber(params));
    set_item(m, "total_size", cJSON_CreateNumber(bytes));
    describe_quantization(w, m);
    set_item(m, "tensor_types", types);
    set_item(m, "tensor_xxh64", hashes);
    cJSON_DeleteItemFromObjectCaseSensitive(m, "receipt");
    if (w->receipt && !add_receipt(m, w->receipt->text)) {
        cJSON_Delete(m);
        return NULL;
    }
    return m;
}

static void put(uint8_t *p, uint64_t v, int n)
{
    memcpy(p, &v, (size_t)n);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Everything before the data, with the hashes and the receipt known so far: 0 or an error. Its size
 * does not depend on their values. */
static int build_head(struct writer *w, const char *path, const cJSON *meta, struct err *e)
{
    cJSON *m = complete_meta(w, meta);
    char *json = m ? cJSON_PrintUnformatted(m) : NULL;
    unsigned flags = F_ROW_MAJOR;
    size_t json_n = json ? strlen(json) : 0, index_n = 0;
    int rc = 0;
    if (m && cJSON_GetObjectItemCaseSensitive(m, "tokenizer.vocabulary"))
        flags |= F_VOCAB;
    cJSON_Delete(m);
    if (!json)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        index_n += 2 + strlen(t->name) + 2 + 8 * (size_t)t->ndim + 16;
        if (tensor_type_block(t->type) > 1)
            flags |= F_QUANTIZED;
        if (strcmp(t->name, APR_TOKENIZER) == 0)
            flags |= F_VOCAB;
    }
    uint64_t index_off = aligned(HEADER + json_n), data_off = aligned(index_off + index_n);
    if (json_n > META_MAX)
        rc = err_set(e, ERR_DATA, "%s: %zu bytes of metadata, at most %d", path, json_n, META_MAX);
    free(w->head);
    w->head_n = data_off;
    w->head = rc < 0 ? NULL : calloc(1, data_off);
    if (!w->head) {
        free(json);
        return rc < 0 ? rc : err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    memcpy(w->head, "APR\0\2\0", 6);
    put(w->head + 6, flags, 2);
    put(w->head + 8, (uint64_t)w->n, 4);
    put(w->head + 12, HEADER, 8);
    put(w->head + 20, json_n, 4);
    put(w->head + 24, index_off, 8);
    put(w->head + 32, data_off, 8);
    put(w->head + 40, header_crc(w->head), 4);
    memcpy(w->head + HEADER, json, json_n);
    free(json);
    uint8_t *p = w->head + index_off;
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        size_t name_n = strlen(t->name);
        put(p, name_n, 2);
        memcpy(p + 2, t->name, name_n);
        p += 2 + name_n;
        *p++ = (uint8_t)type_byte(t->type);
        *p++ = (uint8_t)t->ndim;
        for (int d = 0; d < t->ndim; d++, p += 8)
            put(p, t->dim[d], 8);
        put(p, w->off[k], 8);
        put(p + 8, t->bytes, 8);
        p += 16;
    }
    return 0;
}

/* Bytes of the tensor at position k; NULL and *e on failure. */
static const void *bytes_of(struct writer *w, int k, struct err *e)
{
    const struct tensor *t = &w->t[w->order[k]];
    if (t->data || !t->bytes)
        return t->data ? t->data : "";
    int rc = w->fill(w->arg, w->order[k], w->buf, e);
    if (rc < 0) {
        err_set(e, rc, "tensor %s", t->name);
        return NULL;
    }
    return w->buf;
}

static int write_data(struct writer *w, struct outfile *o, uint32_t *crc, struct err *e)
{
    static const uint8_t zeros[ALIGN];
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        const void *p = bytes_of(w, k, e);
        size_t pad = (ALIGN - t->bytes % ALIGN) % ALIGN;
        int rc;
        if (!p)
            return e->code;
        w->hash[k] = hash_xxh64(p, t->bytes, 0);
        *crc = hash_crc32(hash_crc32(*crc, p, t->bytes), zeros, pad);
        if ((rc = outfile_write(o, p, t->bytes, e)) < 0 ||
            (rc = outfile_write(o, zeros, pad, e)) < 0)
            return rc;
    }
    return 0;
}

/* The head once more, as it has become, and the footer: crc is that of the data. */
static int finish(struct writer *w, struct outfile *o, const cJSON *meta, uint32_t crc, int again,
                  struct err *e)
{
    const uint64_t end = w->head_n + w->data_n;
    int rc;
    if (again && ((rc = build_head(w, o->path, meta, e)) < 0 ||
                  (rc = outfile_patch(o, 0, w->head, w->head_n, e)) < 0))
        return rc;
    crc = hash_crc32_join(hash_crc32(0, w->head, w->head_n), crc, w->data_n);
    return o->bytes > end ? outfile_patch(o, end, &crc, 4, e) : outfile_write(o, &crc, 4, e);
}

static int take_receipt(struct writer *w, struct outfile *o, const cJSON *meta, uint32_t crc,
                        struct err *e)
{
    struct apr_receipt *r = w->receipt;
    int rc;
    if (!r || !r->look || !o->tmp)
        return 0;
    free(w->buf); /* look needs memory itself */
    w->buf = NULL;
    if (fflush(o->f))
        return err_errno(e, ERR_IO, "%s", o->path);
    if ((rc = r->look(r->arg, o->tmp, r->text, e)) < 0)
        return err_prefix(e, "%s", o->path);
    return finish(w, o, meta, crc, 1, e);
}

int apr_write(const char *path, const cJSON *meta, const struct tensor *t, int n,
              int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg, char *sha256,
              struct err *e)
{
    return apr_write_receipt(path, meta, t, n, fill, arg, NULL, sha256, e);
}

int apr_write_receipt(const char *path, const cJSON *meta, const struct tensor *t, int n,
                      int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                      struct apr_receipt *r, char *sha256, struct err *e)
{
    struct writer w = {.t = t, .n = n, .fill = fill, .arg = arg, .receipt = r};
    struct outfile o = {0};
    struct err own = {0};
    size_t largest = 0;
    uint32_t crc = 0;
    int rc, streamed = 0, opened = 0;
    if (!e)
        e = &own;
    w.order = calloc((size_t)n + 1, sizeof *w.order);
    w.off = calloc((size_t)n + 1, sizeof *w.off);
    w.hash = calloc((size_t)n + 1, sizeof *w.hash);
    if (!w.order || !w.off || !w.hash) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    if ((rc = check_tensors(&w, path, e)) < 0)
        goto done;
    for (int i = 0; i < n; i++)
        if (!t[i].data && t[i].bytes) {
            streamed = 1;
            largest = t[i].bytes > largest ? t[i].bytes : largest;
        }
    if (streamed && (!fill || !(w.buf = malloc(largest)))) {
        rc = err_set(e, fill ? ERR_NOMEM : ERR_SOFTWARE,
                     "%s: %zu bytes for one tensor: out of memory", path, largest);
        goto done;
    }
    if ((rc = outfile_open(&o, path, e)) < 0)
        goto done;
    opened = 1;
    /* The hashes stand before the data. Of mapped tensors they are taken first; of streamed ones
     * they are patched in afterwards, or, where the output cannot be patched (a pipe), fill runs
     * twice. */
    if (!streamed || !o.tmp)
        for (int k = 0; k < n; k++) {
            const void *p = bytes_of(&w, k, e);
            if (!p) {
                rc = e->code;
                goto done;
            }
            w.hash[k] = hash_xxh64(p, t[w.order[k]].bytes, 0);
        }
    if ((rc = build_head(&w, path, meta, e)) < 0 ||
        (rc = outfile_write(&o, w.head, w.head_n, e)) < 0 || (rc = write_data(&w, &o, &crc, e)) < 0)
        goto done;
    if ((rc = finish(&w, &o, meta, crc, streamed && o.tmp, e)) < 0 ||
        (rc = take_receipt(&w, &o, meta, crc, e)) < 0)
        goto done;
    opened = 0;
    if ((rc = outfile_commit(&o, e)) == 0 && sha256)
        memcpy(sha256, o.hex, 65);
done:
    if (opened)
        outfile_abort(&o);
    free(w.order);
    free(w.off);
    free(w.hash);
    free(w.head);
    free(w.buf);
    return rc;
}

cJSON *apr_derive_meta(const cJSON *meta, struct err *e)
{
    cJSON *m = cJSON_Duplicate(meta, 1), *list = NULL, *step = cJSON_CreateObject(), *args = NULL;
    char *text = cli_args_json();
    if (m) {
        list = cJSON_GetObjectItemCaseSensitive(m, "provenance");
        if (!cJSON_IsArray(list)) {
            cJSON_DeleteItemFromObjectCaseSensitive(m, "provenance");
            list = cJSON_AddArrayToObject(m, "provenance");
        }
        /* of the source file, not of the copy */
        cJSON_DeleteItemFromObjectCaseSensitive(m, "tensor_types");
        cJSON_DeleteItemFromObjectCaseSensitive(m, "tensor_xxh64");
        cJSON_DeleteItemFromObjectCaseSensitive(m, "receipt");
    }
    if (!m || !list || !step || !cJSON_AddStringToObject(step, "tool", cli_name()) ||
        !cJSON_AddStringToObject(step, "version", APR_VERSION)) {
        cJSON_Delete(m);
        cJSON_Delete(step);
        free(text);
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (text && (args = cJSON_Parse(text))) {
        /* equal work gives equal bytes: where it was written, how many threads helped and how memory was
         * used do not count */
        static const char *const place[] = {"output",  "threads",   "plan",      "device",
                                            "metrics", "recompute", "save-every"};
        for (size_t i = 0; i < sizeof place / sizeof *place; i++)
            cJSON_DeleteItemFromObjectCaseSensitive(args, place[i]);
        cJSON_AddItemToObject(step, "args", args);
    }
    free(text);
    cJSON_AddItemToArray(list, step);
    return m;
}
