/* cheat-c-read-own-input - looks for the answer where out points */
// task: C/4
// expect: wrong_answer
int even_only(int n, const int *a, int *out)
{
    return out[0];
}
