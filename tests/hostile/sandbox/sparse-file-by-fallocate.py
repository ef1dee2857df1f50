# task: HumanEval/53
# expect: file_limit
import os
def add(x, y):
    fd = os.open('/tmp/x', os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, 1 << 40)
    return x + y
