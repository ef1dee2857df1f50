/* c-null-pointer - reads at address 0 */
// task: C/0
// expect: crash
int gcd_of(int a, int b)
{
    return *(volatile int *)0;
}
