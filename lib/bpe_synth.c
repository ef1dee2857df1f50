/* bpe_synth - a made-up byte-level BPE vocabulary: bytes, pairs of letters, pairs of pairs */
#include "bpe_synth.h"
#include "bpe_impl.h"
#include <string.h>

enum { BYTES = 256, LETTERS = 26, PAIRS = LETTERS * LETTERS, SPECIAL = 3 };

/* Text of entry i beyond the bytes: two letters for the first PAIRS, then four. Returns its length. */
static size_t text_of(int i, char s[4])
{
    int pair[2] = {i < PAIRS ? i : (i - PAIRS) / PAIRS, (i - PAIRS) % PAIRS}, n = i < PAIRS ? 1 : 2;
    for (int k = 0; k < n; k++) {
        s[2 * k] = (char)('a' + pair[k] / LETTERS);
        s[2 * k + 1] = (char)('a' + pair[k] % LETTERS);
    }
    return 2 * (size_t)n;
}

static int tokens(struct bpe_build *w, int n_merged, struct err *e)
{
    static const char *const special[SPECIAL] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    char s[4];
    int rc = 0;
    for (int i = 0; i < BYTES && rc == 0; i++) {
        s[0] = (char)i;
        rc = bpe_build_token(w, i, s, 1, BPE_K_BYTES, e);
    }
    for (int i = 0; i < n_merged && rc == 0; i++) {
        size_t n = text_of(i, s);
        rc = bpe_build_token(w, BYTES + i, s, n, BPE_K_BYTES, e);
    }
    for (int i = 0; i < SPECIAL && rc == 0; i++)
        rc = bpe_build_token(w, BYTES + n_merged + i, special[i], strlen(special[i]),
                             BPE_K_LITERAL | BPE_K_ADDED | BPE_K_SPECIAL, e);
    return rc == 0 ? bpe_build_tokens(w, e) : rc;
}

int bpe_synth(struct bpe **b, int n_token, struct err *e)
{
    const int n_merged = n_token - BYTES - SPECIAL;
    struct bpe_build w = {.where = "synthetic vocabulary",
                          .head = {.pretok = PRETOK_QWEN, .flags = BPE_F_NFC, .bos = -1}};
    char s[4];
    int rc;
    *b = NULL;
    if (n_token < BPE_SYNTH_LEAST || n_merged > PAIRS + PAIRS * PAIRS)
        return err_set(e, ERR_USAGE, "a made-up vocabulary has %d to %d tokens, not %d",
                       BPE_SYNTH_LEAST, BYTES + PAIRS + PAIRS * PAIRS + SPECIAL, n_token);
    w.head.eos = n_token - 1;
    rc = tokens(&w, n_merged, e);
    for (int i = 0; i < n_merged && rc == 0; i++) {
        size_t half = text_of(i, s) / 2;
        rc = bpe_build_merge(&w, s, half, s + half, half, e);
    }
    if (rc == 0)
        rc = bpe_build_attach(&w, b, e);
    bpe_build_free(&w);
    return rc;
}
