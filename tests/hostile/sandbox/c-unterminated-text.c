/* c-unterminated-text - a text without an end */
// task: C/10
// expect: wrong_answer crash
#include <sys/mman.h>
char *words_back(const char *s)
{
    char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 'x', 4096);
    return p;
}
