/* test_kvcache - reference counts, promised and kept blocks, the oldest kept block goes first, blocks
 * that agree in part */
#include "kvcache.h"
#include "tap.h"
#include <string.h>

int main(void)
{
    struct kvcache c;
    int32_t tok[4][KN_TILE];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < KN_TILE; j++)
            tok[i][j] = 100 * i + j;
    ok(kvcache_init(&c, 4) == 0 && kvcache_left(&c) == 4, "four blocks");
    int a = kvcache_take(&c), b = kvcache_take(&c);
    uint64_t one = kvcache_chain(0, tok[0], KN_TILE);
    ok(a == 0 && b == 1 && kvcache_left(&c) == 2, "taken in order");
    kvcache_enter(&c, a, 0, tok[0], KN_TILE);
    kvcache_enter(&c, b, one, tok[1], 7);
    ok(kvcache_find(&c, 0, tok[0], KN_TILE) == a && kvcache_find(&c, one, tok[1], 7) == b,
       "found by chain and tokens");
    ok(kvcache_find(&c, 0, tok[1], 7) < 0 && kvcache_find(&c, one, tok[1], 8) < 0,
       "not after another prefix, not longer");
    ok(!c.block[a].filled, "a promise until it is filled");
    kvcache_fill(&c, a);
    kvcache_hold(&c, a);
    kvcache_drop(&c, a);
    ok(c.block[a].ref == 1, "held twice, dropped once");
    kvcache_drop(&c, b);
    ok(kvcache_find(&c, one, tok[1], 7) < 0 && c.n_free == 3, "a broken promise is forgotten");
    kvcache_drop(&c, a);
    ok(c.n_kept == 1 && kvcache_left(&c) == 4 && kvcache_find(&c, 0, tok[0], KN_TILE) == a,
       "a filled block is kept");
    kvcache_hold(&c, a);
    ok(c.n_kept == 0 && c.block[a].ref == 1 && kvcache_left(&c) == 3, "and taken up again");
    kvcache_drop(&c, a);
    int held[4];
    for (int i = 0; i < 4; i++) {
        held[i] = kvcache_take(&c);
        kvcache_enter(&c, held[i], 0, tok[i], 3 + i);
        kvcache_fill(&c, held[i]);
    }
    ok(kvcache_take(&c) == -1 && held[3] == a && kvcache_find(&c, 0, tok[0], KN_TILE) < 0,
       "kept blocks go when free ones run out");
    for (int i = 0; i < 4; i++)
        kvcache_drop(&c, held[(i + 2) % 4]);
    kvcache_hold(&c, held[2]);
    kvcache_drop(&c, held[2]);
    ok(kvcache_take(&c) == held[3] && kvcache_take(&c) == held[0],
       "the oldest first; taking up renews");
    kvcache_fini(&c);

    /* alike: the longest agreement after the same parent, a filled one of equals */
    int n;
    kvcache_init(&c, 4);
    for (int i = 0; i < 4; i++)
        held[i] = kvcache_take(&c);
    int32_t own[KN_TILE];
    memcpy(own, tok[0], sizeof own);
    own[20] = -1;
    kvcache_enter(&c, held[0], 0, tok[0], KN_TILE);
    kvcache_enter(&c, held[1], 0, tok[0], 10);
    kvcache_enter(&c, held[2], one, tok[0], KN_TILE);
    ok(kvcache_alike(&c, 0, own, KN_TILE, &n) == held[0] && n == 20, "alike up to where they part");
    ok(kvcache_alike(&c, 0, own, 7, &n) >= 0 && n == 7, "no longer than asked");
    kvcache_fill(&c, held[1]);
    ok(kvcache_alike(&c, 0, own, 7, &n) == held[1] && n == 7, "of equals the filled one");
    kvcache_fill(&c, held[0]);
    own[0] = -1;
    ok(kvcache_alike(&c, 0, own, KN_TILE, &n) == -1 && n == 0, "none that begins so");
    own[0] = tok[0][0];
    ok(kvcache_alike(&c, 1, own, KN_TILE, &n) == -1, "none after that parent");
    kvcache_drop(&c, held[2]); /* never filled: forgotten */
    ok(kvcache_alike(&c, one, own, KN_TILE, &n) == -1, "a broken promise is forgotten here too");

    /* no more than max_kept stay, though others are free */
    kvcache_drop(&c, held[0]);
    kvcache_drop(&c, held[1]);
    c.max_kept = 1;
    ok(c.n_kept == 2 && c.n_free == 1 && kvcache_take(&c) == held[0] && c.n_kept == 1,
       "more are kept than may be: the oldest goes before a free one");
    ok(kvcache_take(&c) == held[2] && c.n_kept == 1, "else a free one is taken");
    kvcache_fini(&c);
    return done_testing();
}
