// task: CPP/53
// expect: memory
#include <vector>
int add(int x, int y)
{
    std::vector<char> v(1L << 40, 1);
    return x + y + v[0] - 1;
}
