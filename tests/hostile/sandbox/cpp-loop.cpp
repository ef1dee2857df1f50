// task: CPP/53
// expect: timeout_cpu
int add(int x, int y)
{
    for (;;)
        asm volatile("");
}
