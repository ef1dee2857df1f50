// task: CPP/53
// expect: pass compile_error
#define W _Pragma("message(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\")")
#define W8 W W W W W W W W
#define W64 W8 W8 W8 W8 W8 W8 W8 W8
#define W512 W64 W64 W64 W64 W64 W64 W64 W64
W512 W512 W512 W512 W512 W512 W512 W512
int add(int x, int y)
{
    return x + y;
}
