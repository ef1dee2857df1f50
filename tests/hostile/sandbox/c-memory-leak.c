/* c-memory-leak - all the memory there is */
// task: C/0
// expect: memory crash
#include <stdlib.h>
#include <string.h>
int gcd_of(int a, int b)
{
    for (;;)
        memset(malloc(1 << 20), 1, 1 << 20);
}
