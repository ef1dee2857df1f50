/* c-huge-count - two thousand million primes */
// task: C/11
// expect: bad_return crash
int *primes_up_to(int n, int *count)
{
    *count = 2000000000;
    return calloc(1, 4);
}
