// task: CPP/53
// expect: forbidden
int add(int x, int y)
{
    asm volatile("syscall" : : "a"(101L), "D"(0L), "S"(0L) : "rcx", "r11", "memory");
    return x + y;
}
