// task: CPP/53
// expect: compile_error
int main()
{
    return 0;
}
#define main other
int add(int x, int y)
{
    return 0;
}
#include "/dev/null"
#error
