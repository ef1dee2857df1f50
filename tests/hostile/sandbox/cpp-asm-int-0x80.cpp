// task: CPP/53
// expect: forbidden crash
int add(int x, int y)
{
    asm volatile("int $0x80" : : "a"(20) : "memory");
    return x + y;
}
