/* c-embed - the answers as data, as of C23 */
// task: C/0
// expect: compile_error
static const unsigned char answers[] = {
#embed "/sandbox/../data/bench/basic-c.jsonl.gz"
};
int gcd_of(int a, int b)
{
    return b ? gcd_of(b, a % b) : a;
}
