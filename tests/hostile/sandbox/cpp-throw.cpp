// task: CPP/53
// expect: exception
#include <stdexcept>
int add(int x, int y)
{
    throw std::logic_error("pass\n\"\x1b[31m\xff");
}
