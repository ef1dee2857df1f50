// task: CPP/53
// expect: timeout_cpu
#include <signal.h>
int add(int x, int y)
{
    for (int s = 1; s < 65; s++)
        signal(s, SIG_IGN);
    for (;;)
        asm volatile("");
}
