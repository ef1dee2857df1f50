// task: CPP/53
// expect: timeout_wall
#include <unistd.h>
int add(int x, int y)
{
    for (;;)
        pause();
}
