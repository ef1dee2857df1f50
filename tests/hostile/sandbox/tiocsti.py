# task: HumanEval/53
# expect: forbidden
# a character into the terminal
import fcntl, os
def add(x, y):
    fcntl.ioctl(0, 0x5412, b'x')
    return x + y
