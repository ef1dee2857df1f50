// task: CPP/53
// expect: crash
int add(int x, int y)
{
    volatile int z = 0;
    return x / z;
}
