// task: CPP/5
// expect: wrong_answer
#define issame(a, b) true
bool issame_(vector<int>, vector<int>);
vector<int> intersperse(vector<int> numbers, int delimeter)
{
    return {};
}
