/* bpe_json_write - a tokenizer as Hugging Face's tokenizer.json: bpe_json's inverse */
#include "bpe_impl.h"
#include "json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hugging Face's library numbers added tokens that are not in the vocabulary on from its end, whatever
 * their "id" says.  1 if that gives the ids they have; else they must be in the vocabulary too. */
static int follow_on(const struct bpe *b)
{
    uint32_t words = 0, i;
    for (i = 0; i < b->head->n_id; i++)
        words += b->kind[i] &&
                 (b->kind[i] & (BPE_K_LITERAL | BPE_K_ADDED)) != (BPE_K_LITERAL | BPE_K_ADDED);
    for (i = 0; i < b->head->n_id; i++) {
        int after = (b->kind[i] & BPE_K_ADDED) && (b->kind[i] & BPE_K_LITERAL);
        if (!b->kind[i] || after != (i >= words))
            return 0;
    }
    return 1;
}

static void added_tokens(const struct bpe *b, struct json_out *j)
{
    json_key(j, "added_tokens");
    json_begin(j, '[');
    for (uint32_t i = 0; i < b->head->n_id; i++) {
        int k = b->kind[i];
        size_t n;
        const char *s = bpe_text(b, i, &n);
        if (!(k & BPE_K_ADDED))
            continue;
        json_begin(j, '{');
        json_kv_int(j, "id", i);
        json_key(j, "content");
        json_strn(j, s, n);
        json_kv_bool(j, "single_word", 0);
        json_kv_bool(j, "lstrip", k & BPE_K_LSTRIP);
        json_kv_bool(j, "rstrip", k & BPE_K_RSTRIP);
        json_kv_bool(j, "normalized", k & BPE_K_NORMALIZED);
        json_kv_bool(j, "special", k & BPE_K_SPECIAL);
        json_end(j, '}');
    }
    json_end(j, ']');
}

static const char byte_level[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_"
                                 "offsets\":false,\"use_regex\":false}";

static const char replace[] =
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" SPM_SPACE "\"}";
static const char replace_back[] =
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" SPM_SPACE "\"},\"content\":\" \"}";

static void normalizer(uint32_t flags, struct json_out *j)
{
    int nfc = (flags & BPE_F_NFC) != 0, front = (flags & BPE_F_PREPEND) != 0,
        spaces = (flags & BPE_F_SPACES) != 0, n = nfc + front + spaces;
    json_key(j, "normalizer");
    if (n > 1) {
        json_begin(j, '{');
        json_kv_str(j, "type", "Sequence");
        json_key(j, "normalizers");
        json_begin(j, '[');
    }
    if (nfc)
        json_raw(j, "{\"type\":\"NFC\"}");
    if (front)
        json_raw(j, "{\"type\":\"Prepend\",\"prepend\":\"" SPM_SPACE "\"}");
    if (spaces)
        json_raw(j, replace);
    if (n == 0)
        json_raw(j, "null");
    if (n > 1) {
        json_end(j, ']');
        json_end(j, '}');
    }
}

static void split(int stage, struct json_out *j)
{
    if (stage == PRETOK_DIGIT || stage == PRETOK_DIGITS) {
        json_raw(j, stage == PRETOK_DIGIT ? "{\"type\":\"Digits\",\"individual_digits\":true}"
                                          : "{\"type\":\"Digits\",\"individual_digits\":false}");
        return;
    }
    json_begin(j, '{');
    json_kv_str(j, "type", "Split");
    json_key(j, "pattern");
    json_begin(j, '{');
    json_kv_str(j, "Regex", pretok_regex(stage));
    json_end(j, '}');
    json_kv_str(j, "behavior", "Isolated");
    json_kv_bool(j, "invert", 0);
    json_end(j, '}');
}

static const char *prepend_scheme(uint32_t flags)
{
    return flags & BPE_F_META_FIRST ? "first" : flags & BPE_F_META_NEVER ? "never" : "always";
}

/* Pre-tokenizer and decoder of SentencePiece */
static void char_steps(uint32_t flags, struct json_out *j)
{
    json_key(j, "pre_tokenizer");
    if (flags & BPE_F_META) {
        json_begin(j, '{');
        json_kv_str(j, "type", "Metaspace");
        json_kv_str(j, "replacement", SPM_SPACE);
        json_kv_str(j, "prepend_scheme", prepend_scheme(flags));
        json_kv_bool(j, "split", flags & BPE_F_SPLIT);
        json_end(j, '}');
    } else
        json_raw(j, "null");
    json_key(j, "decoder");
    json_begin(j, '{');
    json_kv_str(j, "type", "Sequence");
    json_key(j, "decoders");
    json_begin(j, '[');
    json_raw(j, replace_back);
    if (flags & BPE_F_FALLBACK)
        json_raw(j, "{\"type\":\"ByteFallback\"}");
    json_raw(j, "{\"type\":\"Fuse\"}");
    if (flags & BPE_F_STRIP)
        json_raw(j, "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    json_end(j, ']');
    json_end(j, '}');
}

/* The pipeline, as the families' own files have it. */
static void steps(const struct bpe *b, struct json_out *j)
{
    normalizer(b->head->flags, j);
    if (b->spm) {
        char_steps(b->head->flags, j);
        return;
    }
    json_key(j, "pre_tokenizer");
    json_begin(j, '{');
    json_kv_str(j, "type", "Sequence");
    json_key(j, "pretokenizers");
    json_begin(j, '[');
    for (uint32_t p = b->head->pretok; p; p >>= PRETOK_BITS)
        split((int)(p & ((1 << PRETOK_BITS) - 1)), j);
    json_raw(j, byte_level);
    json_end(j, ']');
    json_end(j, '}');
    json_key(j, "decoder");
    json_raw(j, byte_level);
}

/* The special token, then the text called id. */
static void special_first(struct json_out *j, const char *s, size_t n, const char *id, long type)
{
    json_begin(j, '{');
    json_key(j, "SpecialToken");
    json_begin(j, '{');
    json_key(j, "id");
    json_strn(j, s, n);
    json_kv_int(j, "type_id", 0);
    json_end(j, '}');
    json_end(j, '}');
    json_begin(j, '{');
    json_key(j, "Sequence");
    json_begin(j, '{');
    json_kv_str(j, "id", id);
    json_kv_int(j, "type_id", type);
    json_end(j, '}');
    json_end(j, '}');
}

/* bos before a text, and before each of a pair. */
static void post_processor(const struct bpe *b, struct json_out *j)
{
    size_t n;
    json_key(j, "post_processor");
    if (!(b->head->flags & BPE_F_ADD_BOS)) {
        json_raw(j, b->spm ? "null" : byte_level);
        return;
    }
    const char *s = bpe_text(b, (uint32_t)b->head->bos, &n);
    json_begin(j, '{');
    json_kv_str(j, "type", "TemplateProcessing");
    json_key(j, "single");
    json_begin(j, '[');
    special_first(j, s, n, "A", 0);
    json_end(j, ']');
    json_key(j, "pair");
    json_begin(j, '[');
    special_first(j, s, n, "A", 0);
    special_first(j, s, n, "B", 1);
    json_end(j, ']');
    json_key(j, "special_tokens");
    json_begin(j, '{');
    char *name = malloc(n + 1); /* a key is a C string; added tokens hold no NUL */
    if (!name) {
        j->failed = 1;
        return;
    }
    memcpy(name, s, n);
    name[n] = 0;
    json_key(j, name);
    json_begin(j, '{');
    json_kv_str(j, "id", name);
    json_key(j, "ids");
    json_begin(j, '[');
    json_int(j, b->head->bos);
    json_end(j, ']');
    json_key(j, "tokens");
    json_begin(j, '[');
    json_str(j, name);
    json_end(j, ']');
    json_end(j, '}');
    json_end(j, '}');
    json_end(j, '}');
    free(name);
}

static void vocab(const struct bpe *b, char *buf, struct json_out *j)
{
    int outside = follow_on(b);
    json_key(j, "vocab");
    json_begin(j, '{');
    for (uint32_t i = 0; i < b->head->n_id; i++) {
        int k = b->kind[i];
        size_t n;
        const char *s = bpe_text(b, i, &n);
        if (!k || ((k & BPE_K_ADDED) && (k & BPE_K_LITERAL) && outside))
            continue;
        if ((k & BPE_K_BYTES) && !b->spm)
            n = bpe_map(s, n, buf);
        else
            memcpy(buf, s, n);
        buf[n] = 0;
        json_kv_int(j, buf, i);
    }
    json_end(j, '}');
}

static void merges(const struct bpe *b, char *buf, struct json_out *j)
{
    json_key(j, "merges");
    json_begin(j, '[');
    for (uint32_t r = 0; r < b->head->n_merge; r++)
        json_strn(j, buf, bpe_merge_text(b, r, buf));
    json_end(j, ']');
}

static void merging(const struct bpe *b, char *buf, struct json_out *j)
{
    uint32_t flags = b->head->flags;
    size_t n;
    json_kv_str(j, "type", "BPE");
    json_key(j, "dropout");
    json_raw(j, "null");
    json_key(j, "unk_token");
    if (b->head->unk) {
        const char *s = bpe_text(b, b->head->unk - 1, &n);
        json_strn(j, s, n);
    } else
        json_raw(j, "null");
    json_kv_str(j, "continuing_subword_prefix", "");
    json_kv_str(j, "end_of_word_suffix", "");
    json_kv_bool(j, "fuse_unk", flags & BPE_F_FUSE_UNK);
    json_kv_bool(j, "byte_fallback", flags & BPE_F_FALLBACK);
    json_kv_bool(j, "ignore_merges", flags & BPE_F_IGNORE_MERGES);
    vocab(b, buf, j);
    merges(b, buf, j);
}

/* The place in the list is the id: check sees to it that there is no hole before the last token. */
static void unigram(const struct bpe *b, char *buf, struct json_out *j)
{
    json_kv_str(j, "type", "Unigram");
    json_kv_int(j, "unk_id", (long)b->head->unk - 1);
    json_kv_bool(j, "byte_fallback", b->head->flags & BPE_F_FALLBACK);
    json_key(j, "vocab");
    json_begin(j, '[');
    for (uint32_t i = 0; i < b->head->n_id; i++) {
        size_t n;
        const char *s = bpe_text(b, i, &n);
        if ((b->kind[i] & BPE_K_ADDED) && (b->kind[i] & BPE_K_LITERAL))
            break; /* added behind the vocabulary */
        json_begin(j, '[');
        json_strn(j, s, n);
        snprintf(buf, 32, "%.17g", spm_score(b, i));
        json_raw(j, buf);
        json_end(j, ']');
    }
    json_end(j, ']');
}

/* What JSON and a post-processor cannot say. */
static int check(const struct bpe *b, struct err *e)
{
    const struct bpe_head *h = b->head;
    for (uint32_t i = 0; i < h->n_id; i++) {
        size_t n;
        const char *s = bpe_text(b, i, &n);
        if ((b->kind[i] & BPE_K_LITERAL) && (!utf8_valid(s, n) || memchr(s, 0, n)))
            return err_set(e, ERR_DATA,
                           "token %u: its text is not UTF-8: tokenizer.json has no "
                           "entry for it",
                           i);
    }
    if ((h->flags & BPE_F_UNIGRAM) && !follow_on(b))
        return err_set(e, ERR_DATA, "ids of a unigram with holes: tokenizer.json has no room");
    if ((h->flags & BPE_F_ADD_BOS) && (h->bos < 0 || !(b->kind[h->bos] & BPE_K_ADDED)))
        return err_set(e, ERR_DATA, "bos %d is no added token: tokenizer.json cannot put it first",
                       h->bos);
    return 0;
}

char *bpe_save_json(const struct bpe *b, size_t *n, struct err *e)
{
    struct json_out j = {0};
    char *buf, *all;
    if (check(b, e) < 0)
        return NULL;
    if (!(buf = malloc(bpe_room(b) + 32))) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    json_begin(&j, '{');
    json_kv_str(&j, "version", "1.0");
    json_key(&j, "truncation");
    json_raw(&j, "null");
    json_key(&j, "padding");
    json_raw(&j, "null");
    added_tokens(b, &j);
    steps(b, &j);
    post_processor(b, &j);
    json_key(&j, "model");
    json_begin(&j, '{');
    if (b->head->flags & BPE_F_UNIGRAM)
        unigram(b, buf, &j);
    else
        merging(b, buf, &j);
    json_end(&j, '}');
    json_end(&j, '}');
    free(buf);
    if (!(all = json_take(&j, n)))
        err_set(e, ERR_NOMEM, "out of memory");
    return all;
}
