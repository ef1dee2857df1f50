# task: HumanEval/53
# expect: wrong_answer exception
import os, signal
def add(x, y):
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.kill(os.getppid() or 1, signal.SIGKILL)
    return 0
