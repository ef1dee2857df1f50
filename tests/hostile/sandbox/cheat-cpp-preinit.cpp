// task: CPP/53
// expect: early_exit compile_error
#include <unistd.h>
static void leave()
{
    _exit(0);
}
__attribute__((section(".preinit_array"), used)) static void (*const first)() = leave;
int add(int x, int y)
{
    return 0;
}
