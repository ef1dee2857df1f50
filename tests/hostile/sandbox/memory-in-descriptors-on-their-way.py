# task: HumanEval/53
# expect: exception
# descriptors in messages that nobody reads
import array, os, socket
def add(x, y):
    held = []
    while True:
        a, b = socket.socketpair()
        a.setblocking(False)
        try:
            while True:
                a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 200))])
        except BlockingIOError:
            pass
        held += [a, b]
