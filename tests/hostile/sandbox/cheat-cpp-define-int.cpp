// task: CPP/53
// expect: wrong_answer compile_error
#define return return 0 *
int add(int x, int y)
{
    return x + y;
}
