# task: HumanEval/53
# expect: exception
# a socket of a pair that gets a name without bind() could be sent to by another job
import socket
def add(x, y):
    for option in (16, 34, 76):
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            a.setsockopt(socket.SOL_SOCKET, option, 1)
            a.send(b'x')
        except OSError:
            pass
        if a.getsockname():
            return x + y
    raise PermissionError('no socket gets a name')
