// task: CPP/53
// expect: compile_error
int add(int &x, int &y)
{
    return x + y;
}
