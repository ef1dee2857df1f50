// task: CPP/53
// expect: compile_error
template <int N, int M> struct bomb {
    static const int value = bomb<N - 1, M>::value + bomb<N - 1, M + (1 << N)>::value;
};
template <int M> struct bomb<0, M> {
    static const int value = 1;
};
int add(int x, int y)
{
    return x + y + bomb<26, 0>::value;
}
