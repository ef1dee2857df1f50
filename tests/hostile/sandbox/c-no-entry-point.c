/* c-no-entry-point - another name */
// task: C/0
// expect: no_entry_point
int greatest(int a, int b)
{
    return 1;
}
