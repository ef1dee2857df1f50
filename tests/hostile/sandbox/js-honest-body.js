// task: JavaScript/53
// expect: pass
  return x + y;
}
