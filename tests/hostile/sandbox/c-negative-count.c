/* c-negative-count - fewer primes than none */
// task: C/11
// expect: wrong_answer
int *primes_up_to(int n, int *count)
{
    *count = -4;
    return calloc(1, 4);
}
