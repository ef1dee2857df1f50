# task: HumanEval/53
# expect: timeout_wall wrong_answer
import os, signal
def add(x, y):
    os.kill(os.getpid(), signal.SIGSTOP)
    if os.fork() == 0:
        while True:
            os.kill(os.getppid(), signal.SIGSTOP)
    return 0
