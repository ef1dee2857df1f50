# task: HumanEval/53
# expect: exception
import fcntl, os
def add(x, y):
    fcntl.fcntl(os.open('/tmp/x', os.O_RDONLY | os.O_CREAT), 1024, 0)
    return x + y
