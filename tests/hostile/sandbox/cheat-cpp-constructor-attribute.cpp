// task: CPP/53
// expect: early_exit
#include <unistd.h>
__attribute__((constructor(101))) static void leave()
{
    _exit(0);
}
int add(int x, int y)
{
    return 0;
}
