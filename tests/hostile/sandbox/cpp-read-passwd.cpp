// task: CPP/53
// expect: wrong_answer
int add(int x, int y)
{
    return fopen("/etc/passwd", "r") ? x + y : 0;
}
