// task: CPP/53
// expect: compile_error
#include "/dev/urandom"
int add(int x, int y)
{
    return x + y;
}
