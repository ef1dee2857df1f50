// task: CPP/53
// expect: wrong_answer
#include <signal.h>
#include <unistd.h>
static void leave(int)
{
    _exit(0);
}
static int once = (signal(SIGABRT, leave), signal(SIGSEGV, leave), signal(SIGTERM, leave), 0);
int add(int x, int y)
{
    return 0;
}
