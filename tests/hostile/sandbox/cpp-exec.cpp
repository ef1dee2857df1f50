// task: CPP/53
// expect: early_exit
#include <unistd.h>
int add(int x, int y)
{
    execl("/bin/true", "true", (char *)0);
    return 0;
}
