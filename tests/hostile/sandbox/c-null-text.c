/* c-null-text - NULL where a text is expected */
// task: C/10
// expect: wrong_answer
char *words_back(const char *s)
{
    return NULL;
}
