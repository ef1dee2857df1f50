/* test_answer - stop strings across token borders, incomplete UTF-8, prefill, thinking */
#include "answer.h"
#include "gguf.h"
#include "tap.h"
#include <string.h>

static struct bpe *tok;
static struct err e;

/* Push the tokens of text one by one; 1 if a stop ended it. */
static int push(struct answer *a, const char *text)
{
    int32_t *ids;
    long n = bpe_encode(tok, text, strlen(text), 0, &ids, &e);
    int rc = 0;
    for (long i = 0; i < n && rc == 0; i++)
        rc = answer_push(a, ids[i]);
    free(ids);
    return rc;
}

/* Push single bytes as the tokens that stand for them. */
static int push_bytes(struct answer *a, const char *s)
{
    int rc = 0;
    for (; *s && rc == 0; s++)
        for (int32_t id = 0; id < bpe_n_vocab(tok); id++) {
            size_t n;
            const char *p = bpe_token(tok, id, &n);
            if (p && n == 1 && *p == *s && !bpe_is_special(tok, id)) {
                rc = answer_push(a, id);
                break;
            }
        }
    return rc;
}

static int is(const struct answer *a, const char *text)
{
    return a->text.n == strlen(text) && strcmp(a->text.p, text) == 0;
}

int main(void)
{
    static const char *const stops[] = {"\n```", "END", "\n\n\n"};
    struct gguf g;
    struct answer a;
    if (gguf_open(&g, TOP "/data/models/tiny-coder-29m-Q8_0.gguf", &e) < 0 ||
        bpe_load_gguf(&tok, &g, &e) < 0) {
        ok(0, "%s", e.msg);
        return done_testing();
    }
    answer_begin(&a, tok, stops, 3, -1, NULL, NULL, 0, &e);
    ok(push(&a, "return 1\n``` and more") == 1 && is(&a, "return 1"), "cut before the stop string");
    answer_end(&a);
    answer_begin(&a, tok, stops, 3, -1, NULL, NULL, 0, &e);
    ok(push_bytes(&a, "return 1\n```") == 1 && is(&a, "return 1"), "the same whatever the tokens");
    answer_end(&a);
    answer_begin(&a, tok, stops, 3, -1, NULL, NULL, 0, &e);
    ok(push_bytes(&a, "x\n``") == 0 && is(&a, "x\n``") && answer_ready(&a) == 1,
       "what may become a stop string is held back");
    ok(push_bytes(&a, "EN") == 0 && answer_ready(&a) == 4, "and let go");
    ok(push_bytes(&a, "D") == 1 && is(&a, "x\n``"), "another one");
    answer_end(&a);
    answer_begin(&a, tok, stops, 3, -1, "```python\nEN", NULL, 0, &e);
    ok(is(&a, "```python\nEN") && push_bytes(&a, "D") == 0 && push_bytes(&a, "END") == 1 &&
           is(&a, "```python\nEND"),
       "a prefill belongs to the text, and no stop string begins in it");
    answer_end(&a);
    answer_begin(&a, tok, NULL, 0, -1, NULL, NULL, 0, &e);
    ok(push_bytes(&a, "a\xf0\x9f\x99") == 0 && answer_ready(&a) == 1, "three of four bytes wait");
    ok(push_bytes(&a, "\x82") == 0 && answer_ready(&a) == 5, "the character is whole");
    ok(answer_push(&a, bpe_id(tok, "<|im_end|>")) == 0 && a.text.n == 5,
       "special tokens add no text");
    answer_end(&a);

    answer_begin(&a, tok, stops, 3, -1, "ab", NULL, 0, &e);
    ok(answer_reserve(&a, 5000) == 0 && is(&a, "ab"), "room is made, the text stays");
    const char *p = a.text.p;
    for (int i = 0; i < 500; i++)
        push_bytes(&a, "0123456789");
    ok(a.text.p == p && a.text.n == 5002, "what was reserved needs no other memory");
    answer_end(&a);

    /* a tokenizer without the marks: any two tokens may stand for them here */
    answer_begin(&a, tok, NULL, 0, 2, NULL, NULL, 0, &e);
    ok(answer_forced(&a) == -1, "no marks, nothing forced");
    a.think = bpe_id(tok, "<|im_start|>");
    a.think_end = bpe_id(tok, "<|im_end|>");
    answer_push(&a, a.think);
    push(&a, "a");
    ok(answer_forced(&a) == -1, "one of two tokens of thinking");
    push(&a, "b");
    ok(answer_forced(&a) == a.think_end, "the budget forces the end mark");
    answer_push(&a, a.think_end);
    push(&a, "\n\ncode\n");
    ok(is(&a, "code\n") && strcmp(a.thought.p, "ab") == 0, "thinking is kept apart");
    answer_end(&a);
    bpe_free(tok);
    gguf_close(&g);
    return done_testing();
}
