// task: CPP/53
// expect: process_limit memory
#include <thread>
#include <unistd.h>
int add(int x, int y)
{
    for (;;)
        std::thread(pause).detach();
}
