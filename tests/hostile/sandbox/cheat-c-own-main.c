/* cheat-c-own-main - its own main */
// task: C/0
// expect: compile_error
int gcd_of(int a, int b)
{
    return 1;
}

int main(void)
{
    return 0;
}
