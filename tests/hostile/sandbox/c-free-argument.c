/* c-free-argument - frees what is not its own */
// task: C/1
// expect: crash pass wrong_answer
#include <stdlib.h>
long best_run(int n, const int *a)
{
    free((void *)a);
    free((void *)a);
    return 7;
}
