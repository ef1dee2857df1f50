// task: CPP/53
// expect: compile_error
int add(int x)
{
    return x;
}
