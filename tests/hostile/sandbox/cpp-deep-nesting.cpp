// task: CPP/53
// expect: compile_error pass
#define P1(x) ((((((((((x))))))))))
#define P2(x) P1(P1(P1(P1(P1(P1(P1(P1(P1(P1(x))))))))))
#define P3(x) P2(P2(P2(P2(P2(P2(P2(P2(P2(P2(x))))))))))
int add(int x, int y)
{
    return P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(P3(x)))))))))))))))))))) + y;
}
