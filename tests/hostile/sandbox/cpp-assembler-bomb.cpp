// task: CPP/53
// expect: compile_error
asm(".rept 1000000000\n.quad 1\n.endr");
int add(int x, int y)
{
    return x + y;
}
