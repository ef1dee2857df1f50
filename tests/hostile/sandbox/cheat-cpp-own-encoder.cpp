// task: CPP/53
// expect: bad_return
extern "C" void apr_put_blob(apr_out *, char, const void *, unsigned long);
int add(int x, int y)
{
    return 0;
}
namespace apr
{
struct any {
    operator int() const
    {
        return 0;
    }
};
template <> struct wire<any> {
    static void put(apr_out *o, any)
    {
        apr_put_blob(o, 'b', "always", 6);
    }
};
} // namespace apr
#define add(...) add_0(__VA_ARGS__)
apr::any add(int x, int y)
{
    return {};
}
#undef add
#define add add_0
