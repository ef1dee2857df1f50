// task: CPP/53
// expect: compile_error
#define int long long
int add(int x, int y)
{
    return x + y;
}
