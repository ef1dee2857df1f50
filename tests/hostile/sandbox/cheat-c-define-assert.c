/* cheat-c-define-assert - assertions that say nothing */
// task: C/0
// expect: wrong_answer
#include <assert.h>
#undef assert
#define assert(x) ((void)0)
int gcd_of(int a, int b)
{
    return 1;
}
