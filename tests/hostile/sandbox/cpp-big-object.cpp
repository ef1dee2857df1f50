// task: CPP/53
// expect: compile_error
char big[1 << 30] = {1};
int add(int x, int y)
{
    return x + y;
}
