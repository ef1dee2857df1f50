/* vocab - a model's tokenizer beside its embedding: every id that the tokenizer can give must be a row
 *
 * An id goes from the tokenizer to the device unlooked at, where it chooses a row of the embedding: a file that knows
 * more tokens than it has rows is refused before any text is encoded. */
#include "vocab.h"

int vocab_check(const struct bpe *tok, const struct hparams *h, const char *path, struct err *e)
{
    if (!tok || bpe_n_vocab(tok) <= h->n_vocab)
        return 0;
    return err_set(e, ERR_DATA, "%s: the tokenizer has %d tokens, the embedding %d rows", path,
                   bpe_n_vocab(tok), h->n_vocab);
}

int vocab_load(struct bpe **tok, const struct apr *a, const struct hparams *h, struct err *e)
{
    const struct tensor *t = apr_tensor(a, APR_TOKENIZER);
    *tok = NULL;
    if (!t)
        return 0;
    int rc = bpe_load_tables(tok, t->data, t->bytes, a->path, e);
    if (rc == 0 && (rc = vocab_check(*tok, h, a->path, e)) < 0) {
        bpe_free(*tok);
        *tok = NULL;
    }
    return rc;
}
