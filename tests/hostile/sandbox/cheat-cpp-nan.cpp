// task: CPP/21
// expect: wrong_answer
vector<float> rescale_to_unit(vector<float> numbers)
{
    return vector<float>(numbers.size(), NAN);
}
