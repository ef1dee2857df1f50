// task: CPP/53
// expect: timeout_cpu timeout_wall process_limit
#include <unistd.h>
int add(int x, int y)
{
    for (;;)
        fork();
}
