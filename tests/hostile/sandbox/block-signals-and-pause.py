# task: HumanEval/53
# expect: timeout_wall
import signal
def add(x, y):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    signal.pause()
