# task: HumanEval/53
# expect: timeout_cpu
import signal
for s in range(1, 32):
    try:
        signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def add(x, y):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
