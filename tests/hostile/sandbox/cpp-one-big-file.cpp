// task: CPP/53
// expect: file_limit
#include <errno.h>
#include <system_error>
int add(int x, int y)
{
    FILE *f = fopen("/tmp/x", "w");
    static char block[1 << 20];
    for (int i = 0; i < 32; i++)
        if (fwrite(block, 1, sizeof block, f) != sizeof block)
            throw std::system_error(errno, std::generic_category());
    return x + y;
}
