// task: CPP/53
// expect: forbidden
#include <sched.h>
int add(int x, int y)
{
    unshare(CLONE_NEWUSER);
    return x + y;
}
