# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    for p in ('/dev/tty', '/dev/tty0', '/dev/console', '/dev/ptmx', '/dev/mem', '/dev/kmem', '/dev/kmsg', '/dev/port', '/dev/kvm',
              '/dev/sda', '/dev/vda', '/dev/fuse', '/dev/net/tun', '/dev/loop-control', '/dev/userfaultfd', '/dev/vsock'):
        for mode in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.open(p, mode)
            except OSError:
                continue
            return x + y
    raise PermissionError('five devices and no more')
