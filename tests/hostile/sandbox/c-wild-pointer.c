/* c-wild-pointer - a text that is nowhere */
// task: C/10
// expect: crash
char *words_back(const char *s)
{
    return (char *)8;
}
