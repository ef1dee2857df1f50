// task: CPP/5
// expect: pass
vector<int> intersperse(const vector<int> &numbers, int delimeter)
{
    vector<int> out;
    for (size_t i = 0; i < numbers.size(); i++) {
        if (i)
            out.push_back(delimeter);
        out.push_back(numbers[i]);
    }
    return out;
}
