// task: CPP/53
// expect: memory crash
char big[1 << 30];
int add(int x, int y)
{
    return x + y;
}
