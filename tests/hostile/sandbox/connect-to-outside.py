# task: HumanEval/53
# expect: exception
# a socket it has: a pair. It cannot be given an address, nor connected to one
import socket, ctypes
def add(x, y):
    libc = ctypes.CDLL(None, use_errno=True)
    a, b = socket.socketpair()
    for address in (b'\1\0\0some-abstract-name', b'\1\0/run/systemd/private\0', b'\1\0/var/run/docker.sock\0', b'\1\0/tmp/x\0'):
        if libc.connect(a.fileno(), address, len(address)) == 0 or libc.bind(b.fileno(), address, len(address)) == 0:
            return x + y
    raise PermissionError('no address')
