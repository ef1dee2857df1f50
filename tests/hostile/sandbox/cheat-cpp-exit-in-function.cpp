// task: CPP/53
// expect: early_exit
int add(int x, int y)
{
    exit(0);
}
