# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    if os.listdir('/tmp') or os.path.exists('/dev/shm') or os.path.exists('/run') or os.path.exists('/var'):
        return x + y
    for pid in range(2, 5000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        return x + y
    raise FileNotFoundError('nobody and nothing')
