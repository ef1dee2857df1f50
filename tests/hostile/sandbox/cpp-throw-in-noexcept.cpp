// task: CPP/53
// expect: crash
int add(int x, int y) noexcept
{
    throw 1;
}
