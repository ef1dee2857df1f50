// task: CPP/53
// expect: timeout_wall exception pass
#include <signal.h>
int add(int x, int y)
{
    raise(SIGSTOP);
    return x + y;
}
