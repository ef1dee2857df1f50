// task: CPP/53
// expect: pass
    return x + y;
}
