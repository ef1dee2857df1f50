// task: CPP/53
// expect: compile_error
extern "C" int apr_serve(const char *, unsigned long, apr_function *)
{
    exit(0);
}
int add(int x, int y)
{
    return 0;
}
