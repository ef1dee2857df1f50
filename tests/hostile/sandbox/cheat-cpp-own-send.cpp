// task: CPP/53
// expect: wrong_answer early_exit
extern "C" long send(int, const void *, unsigned long n, int)
{
    return (long)n;
}
extern "C" long read(int, void *, unsigned long)
{
    return 0;
}
int add(int x, int y)
{
    return 0;
}
