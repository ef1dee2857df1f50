# task: HumanEval/53
# expect: exception memory
# as many as there are descriptors
import fcntl, os
def add(x, y):
    held = []
    while True:
        r, w = os.pipe()
        held.append((r, w))
        try:
            fcntl.fcntl(w, 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(w, False)
        try:
            while True:
                os.write(w, bytes(65536))
        except BlockingIOError:
            pass
