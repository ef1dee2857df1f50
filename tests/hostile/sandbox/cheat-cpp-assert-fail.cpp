// task: CPP/53
// expect: wrong_answer
extern "C" void __assert_fail(const char *, const char *, unsigned, const char *)
{
    exit(0);
}
int add(int x, int y)
{
    return 0;
}
