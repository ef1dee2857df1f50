# task: HumanEval/53
# expect: exception
# a signal for each time that somebody opens a module
import fcntl, os
fd = os.open('/usr/lib', os.O_RDONLY)
def add(x, y):
    fcntl.fcntl(fd, 1026, 1)
    return x + y
