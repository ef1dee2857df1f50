// task: CPP/53
// expect: compile_error
#include <string>
std::string add(int x, int y)
{
    return "";
}
