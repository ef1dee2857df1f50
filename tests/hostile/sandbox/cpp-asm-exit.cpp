// task: CPP/53
// expect: early_exit
int add(int x, int y)
{
    asm volatile("syscall" : : "a"(231L), "D"(0L) : "rcx", "r11", "memory");
    return 0;
}
