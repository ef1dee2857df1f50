// task: CPP/53
// expect: wrong_answer protocol crash
#include <setjmp.h>
static jmp_buf first;
static int n;
int add(int x, int y)
{
    if (setjmp(first))
        return 1;
    if (n++)
        longjmp(first, 1);
    return 1;
}
