// task: CPP/5
// expect: bad_return
#include <unistd.h>
static int serve = []() {
    static unsigned char b[1 << 21];
    unsigned n;
    while (read(3, &n, 4) == 4 && read(3, b, n) == (long)n) {
        std::string value = std::string("l\1\0\0\0b\1\0\0\0x", 11);
        n = 9 + value.size();
        value = std::string((char *)&n, 4) + std::string((char *)b, 8) + "V" + value;
        for (size_t i = 0; i < value.size();) {
            long k = write(3, value.data() + i, value.size() - i);
            if (k <= 0)
                _exit(0);
            i += k;
        }
    }
    _exit(0);
    return 0;
}();
vector<int> intersperse(vector<int> numbers, int delimeter);
vector<int> intersperse(vector<int> numbers, int delimeter)
{
    return {};
}
