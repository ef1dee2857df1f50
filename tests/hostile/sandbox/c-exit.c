/* c-exit - ends with status 0 */
// task: C/0
// expect: early_exit
#include <stdlib.h>
int gcd_of(int a, int b)
{
    exit(0);
}
