/* c-loop - an endless loop */
// task: C/0
// expect: timeout_cpu
int gcd_of(int a, int b)
{
    for (;;)
        ;
}
