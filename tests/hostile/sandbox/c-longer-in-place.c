/* c-longer-in-place - a text made longer than its place */
// task: C/2
// expect: bad_return crash
void reverse(char *s)
{
    strcpy(s, "longer than what was there before");
}
