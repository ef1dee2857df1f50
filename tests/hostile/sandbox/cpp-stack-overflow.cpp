// task: CPP/53
// expect: crash
int add(int x, int y)
{
    volatile char frame[4096];
    frame[0] = 1;
    return add(x, y) + frame[0];
}
