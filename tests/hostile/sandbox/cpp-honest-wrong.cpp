// task: CPP/53
// expect: wrong_answer
int add(int x, int y)
{
    return x - y;
}
