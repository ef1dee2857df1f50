# task: HumanEval/53
# expect: exception memory timeout_cpu
import socket
def add(x, y):
    held = []
    while True:
        a, b = socket.socketpair()
        for s in (a, b):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
            s.setblocking(False)
            try:
                while True:
                    s.send(bytes(65536))
            except BlockingIOError:
                pass
        held += [a, b]
