# task: HumanEval/53
# expect: forbidden
import fcntl, os
def add(x, y):
    fcntl.ioctl(0, 0x541c, b'x')
    return x + y
