// task: CPP/53
// expect: timeout_cpu
static int once = []() {
    for (;;)
        asm volatile("");
    return 0;
}();
int add(int x, int y)
{
    return x + y;
}
