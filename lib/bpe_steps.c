/* bpe_steps - tokenizer.json's normalizer, pre-tokenizer and decoder: what is known goes into the head
 * of the tables, all else is refused by name */
#include "bpe_impl.h"
#include "json.h"
#include <string.h>

static const char *text_of(const cJSON *v, const char *key)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsString(t) ? t->valuestring : "none";
}

static int is_type(const cJSON *v, const char *type)
{
    return strcmp(text_of(v, "type"), type) == 0;
}

static int is_true(const cJSON *v, const char *key, int dflt)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsBool(t) ? cJSON_IsTrue(t) : dflt;
}

static int number(const cJSON *v, const char *key, int dflt)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsNumber(t) ? t->valueint : dflt;
}

/* Replaces the string `from` by `to`. */
static int replaces(const cJSON *v, const char *from, const char *to)
{
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(v, "pattern");
    return is_type(v, "Replace") && strcmp(text_of(p, "String"), from) == 0 &&
           strcmp(text_of(v, "content"), to) == 0;
}

/* NFC, then Prepend, then Replace: any of them, in this order */
static int normalizer(struct bpe_build *w, const cJSON *v, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "normalizers"), *k;
    uint32_t flag;
    if (!v || cJSON_IsNull(v))
        return 0;
    if (is_type(v, "Sequence") && cJSON_IsArray(list)) {
        cJSON_ArrayForEach(k, list) if (normalizer(w, k, e)) return e->code;
        return 0;
    }
    if (is_type(v, "NFC"))
        flag = BPE_F_NFC;
    else if (is_type(v, "Prepend") && strcmp(text_of(v, "prepend"), SPM_SPACE) == 0)
        flag = BPE_F_PREPEND;
    else if (replaces(v, " ", SPM_SPACE))
        flag = BPE_F_SPACES;
    else if (is_type(v, "Prepend") || is_type(v, "Replace"))
        return err_set(e, ERR_DATA,
                       "%s: normalizer %s: only spaces to U+2581, and that before a text, are "
                       "supported",
                       w->where, text_of(v, "type"));
    else
        return err_set(e, ERR_DATA, "%s: normalizer %.60s is not supported", w->where,
                       text_of(v, "type"));
    if (w->head.flags & (BPE_F_NFC | BPE_F_PREPEND | BPE_F_SPACES) & ~(flag - 1))
        return err_set(e, ERR_DATA, "%s: normalizer %s: not supported after another one", w->where,
                       text_of(v, "type"));
    w->head.flags |= flag;
    return 0;
}

static int add_stage(struct bpe_build *w, int stage, struct err *e)
{
    uint32_t at = 0;
    while (at < PRETOK_STAGES && w->head.pretok >> at * PRETOK_BITS)
        at++;
    if (at == PRETOK_STAGES)
        return err_set(e, ERR_DATA, "%s: pre-tokenizer: more than %d splits", w->where,
                       PRETOK_STAGES);
    w->head.pretok |= (uint32_t)stage << at * PRETOK_BITS;
    return 0;
}

static int split(struct bpe_build *w, const cJSON *v, struct err *e)
{
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(v, "pattern");
    const cJSON *r = cJSON_GetObjectItemCaseSensitive(p, "Regex");
    const char *how = text_of(v, "behavior");
    int invert = is_true(v, "invert", 0);
    int stage = cJSON_IsString(r) ? pretok_of_regex(r->valuestring) : 0;
    /* of spaces, where the normalizer has left none */
    if ((w->head.flags & BPE_F_SPACES) && strcmp(text_of(p, "String"), " ") == 0)
        return 0;
    if (!stage)
        return err_set(e, ERR_DATA, "%s: pre-tokenizer pattern is not supported: %.200s", w->where,
                       cJSON_IsString(r) ? r->valuestring : text_of(p, "String"));
    /* what lies between matches is removed: nothing does */
    if (invert ? strcmp(how, "Removed") || !pretok_covers(stage) : strcmp(how, "Isolated") != 0)
        return err_set(e, ERR_DATA,
                       "%s: pre-tokenizer Split: only behavior Isolated is supported, found "
                       "%.40s%s",
                       w->where, how, invert ? ", inverted" : "");
    return add_stage(w, stage, e);
}

/* Its spaces become U+2581, one is put in front, and each begins a word. */
static int metaspace(struct bpe_build *w, const cJSON *v, struct err *e)
{
    const char *scheme = text_of(v, "prepend_scheme");
    int prefix = is_true(v, "add_prefix_space", 1);
    if (strcmp(scheme, "none") == 0)
        scheme = prefix ? "always" : "never";
    if (strcmp(text_of(v, "replacement"), SPM_SPACE))
        return err_set(e, ERR_DATA, "%s: Metaspace: replacement %.20s is not supported", w->where,
                       text_of(v, "replacement"));
    if (strcmp(scheme, "first") == 0)
        w->head.flags |= BPE_F_META_FIRST;
    else if (strcmp(scheme, "never") == 0)
        w->head.flags |= BPE_F_META_NEVER;
    else if (strcmp(scheme, "always"))
        return err_set(e, ERR_DATA, "%s: Metaspace: prepend_scheme %.40s is not supported",
                       w->where, scheme);
    w->head.flags |= BPE_F_META | (is_true(v, "split", 1) ? BPE_F_SPLIT : 0);
    return 0;
}

/* Splits, then ByteLevel; or Metaspace; or nothing */
static int pre_tokenizer(struct bpe_build *w, const cJSON *v, int *n_byte, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "pretokenizers"), *k;
    if (!v || cJSON_IsNull(v))
        return 0;
    if (is_type(v, "Sequence") && cJSON_IsArray(list)) {
        cJSON_ArrayForEach(k, list) if (pre_tokenizer(w, k, n_byte, e)) return e->code;
        return 0;
    }
    if (*n_byte || (w->head.flags & BPE_F_META))
        return err_set(e, ERR_DATA, "%s: pre-tokenizer %.60s is not supported there", w->where,
                       text_of(v, "type"));
    if (is_type(v, "Split"))
        return split(w, v, e);
    if (is_type(v, "Digits"))
        return add_stage(w, is_true(v, "individual_digits", 0) ? PRETOK_DIGIT : PRETOK_DIGITS, e);
    if (is_type(v, "Metaspace"))
        return metaspace(w, v, e);
    if (!is_type(v, "ByteLevel"))
        return err_set(e, ERR_DATA, "%s: pre-tokenizer %.60s is not supported", w->where,
                       text_of(v, "type"));
    if (is_true(v, "add_prefix_space", 1))
        return err_set(e, ERR_DATA, "%s: pre-tokenizer ByteLevel: add_prefix_space is on",
                       w->where);
    *n_byte = 1;
    return is_true(v, "use_regex", 1) ? add_stage(w, PRETOK_GPT2, e) : 0;
}

static int decoder(struct bpe_build *w, const cJSON *v, int bytes, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "decoders"), *k;
    if (is_type(v, "Sequence") && cJSON_IsArray(list)) {
        cJSON_ArrayForEach(k, list) if (decoder(w, k, bytes, e)) return e->code;
        return 0;
    }
    if (!bytes && is_type(v, "ByteFallback"))
        w->byte_decoder = 1;
    if (bytes ? is_type(v, "ByteLevel")
              : is_type(v, "ByteFallback") || is_type(v, "Fuse") || replaces(v, SPM_SPACE, " "))
        return 0;
    int front = number(v, "start", 0);
    if (!bytes && is_type(v, "Strip") && strcmp(text_of(v, "content"), " ") == 0 &&
        (front == 0 || front == 1) && number(v, "stop", 0) == 0) {
        w->head.flags |= front ? BPE_F_STRIP : 0;
        return 0;
    }
    if (!bytes && is_type(v, "Metaspace") && strcmp(text_of(v, "replacement"), SPM_SPACE) == 0) {
        int never = strcmp(text_of(v, "prepend_scheme"), "never") == 0 ||
                    !is_true(v, "add_prefix_space", 1);
        w->head.flags |= never ? 0 : BPE_F_STRIP;
        return 0;
    }
    return err_set(e, ERR_DATA, "%s: decoder %.60s is not supported%s", w->where,
                   v ? text_of(v, "type") : "none", bytes ? " (expected ByteLevel)" : "");
}

int bpe_steps(struct bpe_build *w, const cJSON *norm, const cJSON *pre, const cJSON *dec,
              struct err *e)
{
    int bytes = 0;
    if (normalizer(w, norm, e) || pre_tokenizer(w, pre, &bytes, e) || decoder(w, dec, bytes, e))
        return e->code;
    if (bytes && !w->head.pretok)
        return err_set(e, ERR_DATA, "%s: pre-tokenizer: ByteLevel without a pattern", w->where);
    if (!bytes && w->head.pretok)
        return err_set(e, ERR_DATA, "%s: pre-tokenizer: Split or Digits without ByteLevel",
                       w->where);
    if (bytes && (w->head.flags & (BPE_F_PREPEND | BPE_F_SPACES)))
        return err_set(e, ERR_DATA, "%s: normalizer Prepend or Replace before ByteLevel", w->where);
    if ((w->head.flags & BPE_F_META) && (w->head.flags & (BPE_F_PREPEND | BPE_F_SPACES)))
        return err_set(e, ERR_DATA, "%s: normalizer Prepend or Replace before Metaspace", w->where);
    if (!bytes)
        w->head.flags |= BPE_F_CHARS;
    return 0;
}
