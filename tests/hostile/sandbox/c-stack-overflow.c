/* c-stack-overflow - endless recursion */
// task: C/0
// expect: crash
int gcd_of(int a, int b)
{
    volatile char frame[4096];
    frame[0] = 1;
    return gcd_of(a, b) + frame[0];
}
