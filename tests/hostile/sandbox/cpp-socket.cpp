// task: CPP/53
// expect: exception
#include <stdexcept>
#include <sys/socket.h>
int add(int x, int y)
{
    for (int f : {1, 2, 10, 16, 17, 40})
        if (socket(f, SOCK_STREAM, 0) >= 0)
            return 0;
    throw std::runtime_error("no socket");
}
