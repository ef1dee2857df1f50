# task: Stream/double
# expect: wrong_answer
# bench: stream.yaml
# both copies answer; the wrong one first
import os
def double(n):
    if n == 3 and os.fork():
        os.wait()
    elif n == 3:
        return 0
    return 2 * n
