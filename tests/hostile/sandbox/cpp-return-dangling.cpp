// task: CPP/11
// expect: wrong_answer crash
string &string_xor(string a, string b)
{
    return a;
}
