// task: CPP/5
// expect: bad_return memory
vector<int> intersperse(vector<int> numbers, int delimeter)
{
    return vector<int>(1 << 22, 7);
}
