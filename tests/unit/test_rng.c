/* test_rng - Philox known answers, uniform draws, keys, hashes, error codes */
#include "err.h"
#include "hash.h"
#include "rng.h"
#include "tap.h"
#include <math.h>
#include <string.h>

int main(void)
{
    uint32_t o[4];
    char hex[65];
    /* known answers of Random123's kat_vectors for philox4x32-10 */
    rng_philox(0, 0, 0, o);
    ok(o[0] == 0x6627e8d5 && o[1] == 0xe169c58d && o[2] == 0xbc57ac4c && o[3] == 0x9b00dbd8,
       "zeros");
    rng_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, o);
    ok(o[0] == 0x408f276d && o[1] == 0x41c83b0e && o[2] == 0xa20bc7c6 && o[3] == 0x6d5451fd,
       "ones");

    double sum = 0, sq = 0, nsum = 0, nsq = 0;
    struct rng r = {7, 0};
    for (int i = 0; i < 100000; i++) {
        double u = rng_next(&r);
        sum += u;
        sq += u * u;
    }
    ok(fabs(sum / 1e5 - 0.5) < 0.005 && fabs(sq / 1e5 - 1.0 / 3) < 0.005, "uniform moments");
    for (int i = 0; i < 100000; i++) {
        double z = rng_normal(&r);
        nsum += z;
        nsq += z * z;
    }
    ok(fabs(nsum / 1e5) < 0.02 && fabs(nsq / 1e5 - 1) < 0.02, "normal moments");
    ok(rng_key(1, "a", 0) != rng_key(1, "a", 1) && rng_key(1, "a", 0) != rng_key(2, "a", 0) &&
           rng_key(1, "a", 0) == rng_key(1, "a", 0),
       "keys");
    uint32_t v[100], seen[100] = {0}, all = 0;
    for (uint32_t i = 0; i < 100; i++)
        v[i] = i;
    rng_shuffle(&r, v, 100);
    for (int i = 0; i < 100; i++)
        all += v[i] < 100 && !seen[v[i]]++;
    ok(all == 100, "a shuffle is a permutation");

    ok(hash_crc32(0, "123456789", 9) == 0xcbf43926, "CRC-32 check value");
    ok(hash_fnv(HASH_FNV, "a", 1) == 0xaf63dc4c8601ec8cu, "FNV-1a of \"a\"");
    hash_sha256_mem("abc", 3, hex);
    ok(strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0,
       "sha256 of \"abc\"");

    struct err e = {0};
    ok(err_set(&e, ERR_DATA, "f: %d", 1) == ERR_DATA && err_set(&e, ERR_IO, "later") == ERR_IO &&
           strcmp(e.msg, "f: 1") == 0,
       "the first error wins");
    err_prefix(&e, "g");
    ok(strcmp(e.msg, "g: f: 1") == 0, "prefix");
    ok(err_exit_code(ERR_DATA) == 65 && err_exit_code(ERR_CONFIG) == 78 &&
           err_exit_code(ERR_NOMEM) == 71 && err_exit_code(0) == 0 && err_exit_code(-3) == 70,
       "exit codes");
    return done_testing();
}
