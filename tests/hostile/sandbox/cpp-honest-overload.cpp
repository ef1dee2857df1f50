// task: CPP/53
// expect: pass
double add(double x, double y)
{
    return -1;
}
int add(int x, int y)
{
    return x + y;
}
