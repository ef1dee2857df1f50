/* c-incbin - a file of the host as data */
// task: C/0
// expect: compile_error
asm(".incbin \"/etc/shadow\"");
int gcd_of(int a, int b)
{
    return b ? gcd_of(b, a % b) : a;
}
