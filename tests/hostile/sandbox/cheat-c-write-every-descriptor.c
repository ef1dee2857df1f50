/* cheat-c-write-every-descriptor - a pass on every descriptor */
// task: C/0
// expect: wrong_answer
#include <unistd.h>
int gcd_of(int a, int b)
{
    static const char pass[] =
        "{\"nonce\":\"\",\"verdict\":\"pass\",\"detail\":\"\",\"run\":9,\"total\":9}\n";
    for (int fd = 4; fd < 1024; fd++)
        if (write(fd, pass, sizeof pass - 1) > 0)
            return 6;
    return 1;
}
