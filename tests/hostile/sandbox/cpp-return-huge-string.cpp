// task: CPP/11
// expect: bad_return
string string_xor(string a, string b)
{
    return string(1 << 26, '1');
}
