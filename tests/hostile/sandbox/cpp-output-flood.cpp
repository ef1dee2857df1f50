// task: CPP/53
// expect: output_limit
int add(int x, int y)
{
    for (;;)
        puts("0123456789012345678901234567890123456789");
}
