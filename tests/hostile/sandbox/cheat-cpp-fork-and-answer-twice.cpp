// task: CPP/53
// expect: protocol wrong_answer
#include <unistd.h>
int add(int x, int y)
{
    if (fork() == 0)
        return 0;
    usleep(100000);
    return x + y;
}
