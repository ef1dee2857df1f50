// task: CPP/53
// expect: pass
#include <bits/stdc++.h>
#define all(x) (x).begin(), (x).end()
using namespace std;
template <class T> T sum(T x)
{
    return x;
}
template <class T, class... R> T sum(T x, R... r)
{
    return x + sum(r...);
}
int add(int x, int y)
{
    return sum(x, y);
}
