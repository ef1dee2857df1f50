// task: CPP/53
// expect: compile_error
#include __FILE__
int add(int x, int y)
{
    return x + y;
}
