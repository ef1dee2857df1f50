// task: CPP/11
// expect: wrong_answer
string string_xor(string a, string b)
{
    return string("\0\xff\x1b[31m\n\"\\", 10);
}
