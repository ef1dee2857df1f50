// task: CPP/53
// expect: crash
int add(int x, int y)
{
    __builtin_trap();
}
