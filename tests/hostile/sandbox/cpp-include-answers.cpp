// task: CPP/53
// expect: compile_error
#include "../data/bench/humaneval_cpp.jsonl.gz"
#include "/proc/self/environ"
int add(int x, int y)
{
    return x + y;
}
