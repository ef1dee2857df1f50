// task: CPP/53
// expect: compile_error
#include "/etc/passwd"
int add(int x, int y)
{
    return x + y;
}
