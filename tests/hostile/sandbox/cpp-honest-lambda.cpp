// task: CPP/53
// expect: pass
auto add = [](int x, int y) { return x + y; };
