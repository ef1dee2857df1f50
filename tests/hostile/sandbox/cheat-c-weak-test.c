/* cheat-c-weak-test - defines what only the checker has */
// task: C/0
// expect: wrong_answer
_Noreturn void __assert_fail(const char *a, const char *b, unsigned c, const char *d)
{
    for (;;)
        ;
}

const int apr_total = 0;

void apr_false(const char *text)
{
    for (;;)
        ;
}
int gcd_of(int a, int b)
{
    return 1;
}
