// task: CPP/53
// expect: pass
int add(int x, int y)
{
    return x + y;
}
