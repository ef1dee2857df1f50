// task: CPP/53
// expect: exception
int add(int x, int y)
{
    throw 1;
}
