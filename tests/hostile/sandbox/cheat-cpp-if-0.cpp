// task: CPP/53
// expect: compile_error
int add(int x, int y)
{
    return 0;
}
int main()
{
    return 0;
}
#if 0
