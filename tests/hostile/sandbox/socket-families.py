# task: HumanEval/53
# expect: exception
# TCP, UDP, raw, netlink, packet, vsock, bluetooth, unix: not one may open
import socket
def add(x, y):
    for family, kind in ((2, 1), (2, 2), (2, 3), (10, 1), (16, 3), (17, 3), (40, 1), (31, 3), (1, 1)):
        try:
            socket.socket(family, kind)
        except OSError:
            continue
        return x + y
    raise PermissionError('no socket at all')
