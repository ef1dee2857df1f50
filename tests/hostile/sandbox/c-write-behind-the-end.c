/* c-write-behind-the-end - writes far behind an array */
// task: C/4
// expect: crash wrong_answer
int even_only(int n, const int *a, int *out)
{
    for (long i = 0; i < 100000000; i++)
        out[i] = 0;
    return n;
}
