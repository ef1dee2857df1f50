/* c-honest-right - a right solution */
// task: C/0
// expect: pass
int gcd_of(int a, int b)
{
    return b ? gcd_of(b, a % b) : a;
}
