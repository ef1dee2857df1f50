// task: CPP/53
// expect: memory
int add(int x, int y)
{
    for (;;)
        memset(new char[1 << 20], 1, 1 << 20);
}
