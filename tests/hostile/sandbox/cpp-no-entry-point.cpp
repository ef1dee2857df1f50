// task: CPP/53
// expect: no_entry_point
int sum(int x, int y)
{
    return x + y;
}
