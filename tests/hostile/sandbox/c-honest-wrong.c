/* c-honest-wrong - a wrong solution */
// task: C/0
// expect: wrong_answer
int gcd_of(int a, int b)
{
    return 1;
}
