# task: HumanEval/53
# expect: wrong_answer
# a datagram socket needs no connect(); of a pair it sends to nobody else
import errno, socket
def add(x, y):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for address in ('\0name', '/run/systemd/journal/dev-log', '/dev/log', '/run/systemd/notify', '/tmp/x'):
        try:
            a.sendto(b'x', address)
        except OSError:
            continue
        return x + y
    return 0
