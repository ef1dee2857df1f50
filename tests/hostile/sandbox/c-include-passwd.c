/* c-include-passwd - a file of the host as source */
// task: C/0
// expect: compile_error
#include "/etc/passwd"
int gcd_of(int a, int b)
{
    return b ? gcd_of(b, a % b) : a;
}
