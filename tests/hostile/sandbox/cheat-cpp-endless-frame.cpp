// task: CPP/53
// expect: protocol
#include <unistd.h>
static char junk[65536];
int add(int x, int y)
{
    memset(junk, 255, sizeof junk);
    for (;;)
        write(3, junk, sizeof junk);
}
