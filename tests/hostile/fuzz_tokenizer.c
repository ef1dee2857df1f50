/* fuzz_tokenizer - libFuzzer entry: whatever the bytes of a tokenizer.json, it is read or refused; what is read encodes
 * and decodes (make fuzz) */
#include "bpe.h"
#include "fuzz.h"

static void use(const struct bpe *b)
{
    static const char text[] = "  def f(x):\n\treturn 'x'*12345 // caf\xC3\xA9 e\xCC\x81 "
                               "\xE2\x96\x81<s>\xE6\x97\xA5 \xF0\x9F\x99\x82\r\n\n <|endoftext|>";
    struct err e = {0};
    int32_t *ids;
    size_t n;
    void *t;
    long k = bpe_encode(b, text, sizeof text - 1, BPE_SPECIAL | BPE_BOS, &ids, &e);
    if (k >= 0) {
        for (long i = 0; i < k; i++)
            if (!bpe_token(b, ids[i], &n))
                abort();
        free(bpe_decode(b, ids, (size_t)k, 0, &n));
        free(ids);
    }
    if (bpe_save_tables(b, &t, &n, &e) == 0) {
        struct bpe *c;
        if (bpe_load_tables(&c, t, n, "tables", &e))
            abort(); /* what was built passes the checks */
        bpe_free(c);
        free(t);
    }
    free(bpe_save_json(b, &n, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct bpe *b;
    if (bpe_load_json(&b, fuzz_file(0, p, n), &e) == 0) {
        use(b);
        bpe_free(b);
    }
    return 0;
}
