/* cheat-c-answer-twice - two answers to one question */
// task: C/0
// expect: protocol
#include <unistd.h>
int gcd_of(int a, int b)
{
    static const unsigned char frame[] = {10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'V', 'T'};
    write(3, frame, sizeof frame);
    return b ? gcd_of(b, a % b) : a;
}
