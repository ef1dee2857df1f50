/* cheat-c-constructor-exit - ends with status 0 before main */
// task: C/0
// expect: early_exit
#include <unistd.h>
__attribute__((constructor)) static void leave(void)
{
    _exit(0);
}
int gcd_of(int a, int b)
{
    return 1;
}
