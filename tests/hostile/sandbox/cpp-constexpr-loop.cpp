// task: CPP/53
// expect: compile_error pass
#pragma GCC optimize("O2")
constexpr long spin(long n)
{
    long s = 0;
    for (long i = 0; i < n; i++)
        s += i;
    return s;
}
template <long N> struct many {
    static constexpr long value = spin(200000 + N) + many<N - 1>::value;
};
template <> struct many<0> {
    static constexpr long value = 0;
};
constexpr long v = many<800>::value;
int add(int x, int y)
{
    return x + y;
}
