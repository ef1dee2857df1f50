// task: CPP/53
// expect: wrong_answer
#include <exception>
#include <unistd.h>
static void leave()
{
    _exit(0);
}
static int once = (atexit(leave), at_quick_exit(leave), std::set_terminate(leave), 0);
int add(int x, int y)
{
    return 0;
}
