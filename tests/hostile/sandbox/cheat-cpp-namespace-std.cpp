// task: CPP/5
// expect: wrong_answer compile_error
namespace std
{
template <> bool operator==(const vector<int> &, const vector<int> &)
{
    return true;
}
template <> size_t vector<int>::size() const
{
    return 0;
}
} // namespace std
vector<int> intersperse(vector<int> numbers, int delimeter)
{
    return {};
}
