// task: CPP/53
// expect: pass
#include <unistd.h>
static int once = []() {
    if (fork() == 0) {
        setsid();
        sleep(1000);
        _exit(0);
    }
    return 0;
}();
int add(int x, int y)
{
    return x + y;
}
