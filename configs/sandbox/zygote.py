# zygote - a warm Python inside the jail that forks one process a job
#
# Started by the supervisor with its control socket as descriptor 3 and the seccomp program as descriptor
# 4.  A request carries three descriptors: payload, socket between candidate and checker, output.  The
# zygote itself never reads a payload.
import ctypes
import fcntl
import gc
import json as _json
import os
import resource
import select
import signal
import socket
import struct
import sys

CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_NOSUID, MS_NODEV = 2, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_SECUREBITS = 38, 22, 28
REQUEST = struct.Struct('<7I')   # slot, cpu seconds, memory MiB, processes, file MiB, files, tmpfs MiB
STARTED, EXITED, READY = 1, 2, 3


def warm():
    """Import what solutions import, and compile and run a little of everything, so that jobs start warm."""
    import importlib
    for m in ('array base64 bisect calendar cmath collections copy datetime decimal enum fractions functools hashlib '
              'heapq itertools json math numbers operator random re statistics string textwrap time typing '
              'dataclasses abc contextlib io unicodedata zlib queue threading').split():
        try:
            importlib.import_module(m)
        except ImportError:
            pass
    source = '''
from typing import List, Optional
import math, re
class Node:
    def __init__(self, v, left=None):
        self.v, self.left = v, left
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def words(s: str, k: int = 3) -> List[str]:
    """Words longer than k."""
    out = []
    for w in s.split():
        if len(w) > k and not w.isdigit():
            out.append(w.lower().strip('.,'))
        elif w == 'x':
            continue
    return sorted(set(out), key=lambda w: (len(w), w))
def mix(a):
    d = {}
    for i, x in enumerate(a):
        d.setdefault(x % 3, []).append(x ** 2)
    try:
        t = [sum(v) / len(v) for v in d.values()] + [1 / 0]
    except ZeroDivisionError as e:
        t = {k: max(v) for k, v in d.items() if v}
    while len(t) > 2:
        t.popitem()
    return t, f"{len(t):03d}", list(map(str, a))[::-1], any(x > 2 for x in a), math.sqrt(4.0)
r = fib(9), words("The quick brown fox jumps. 12345"), mix(list(range(20))), re.findall(r'[a-z]+', 'ab1cd')
'''
    exec(compile(source, 'warm', 'exec'), {'__name__': 'warm'})
    v = [1, 2.5, 'x', (True, None), {'a': {1, 2}}, 1 << 70]
    decode(encode(v, None), 0, None)
    warm_role()


def install_filter(program):
    class Prog(ctypes.Structure):
        _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_char_p)]
    prog = Prog(len(program) // 8, program)
    return prog


class Landlock:
    """A second lock on files, beside the mount namespace and in place of it where there is none."""

    def __init__(self, libc, tmp):
        self.libc, self.tmp = libc, tmp
        abi = libc.syscall(444, None, 0, 1)
        self.abi = max(abi, 0)
        self.fs = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
        # handled: files; TCP bind and connect from 4 on; abstract sockets and signals to others from 6 on
        self.attr = struct.pack('<Q', self.fs) + (struct.pack('<Q', 3) if abi >= 4 else b'') + \
            (struct.pack('<Q', 3) if abi >= 6 else b'')

    def restrict(self):
        fd = self.libc.syscall(444, self.attr, len(self.attr), 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), 'landlock')
        read = 1 << 0 | 1 << 2 | 1 << 3
        rules = [(p, read) for p in ('/usr', '/lib', '/lib32', '/lib64', '/bin', '/sbin')]
        rules += [('/dev/' + p, 1 << 1 | 1 << 2) for p in ('null', 'zero', 'full', 'random', 'urandom')]
        if self.tmp:
            rules.append(('/tmp', self.fs))
        for path, access in rules:
            try:
                f = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            rc = self.libc.syscall(445, fd, 1, struct.pack('<Qi', access & self.fs, f), 0)
            os.close(f)
            if rc != 0:
                raise OSError(ctypes.get_errno(), 'landlock ' + path)
        if self.libc.syscall(446, fd, 0) != 0:
            raise OSError(ctypes.get_errno(), 'landlock')
        os.close(fd)


def main():
    config = _json.loads(sys.argv[1])
    sys.argv[:] = ['']
    sys.path[:] = [p for p in sys.path if p and 'packages' not in p]
    libc = ctypes.CDLL(None, use_errno=True)
    control = socket.socket(fileno=3)
    program = b''
    while True:
        b = os.read(4, 1 << 16)
        if not b:
            break
        program += b
    os.close(4)
    prog = install_filter(program) if program else None
    candidate = config['role'] == 'candidate'
    pidns, mntns, uids, drop = config['pidns'], config['mntns'], config['uids'], config['drop']
    landlock = Landlock(libc, mntns and candidate) if config['landlock'] else None
    if landlock and not landlock.abi:
        landlock = None
    # setns() with a pidfd of our own leads back from a job's pid namespace to ours
    me = os.pidfd_open(os.getpid()) if pidns else -1

    def must(rc, what):
        if rc != 0:
            raise OSError(ctypes.get_errno(), what)

    def enter(slot, cpu, memory, processes, fsize, files, tmp, fds):
        """In the child: from the zygote's rights down to a job's."""
        hi = [fcntl.fcntl(f, fcntl.F_DUPFD, 200) for f in fds]
        null = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
        if candidate:
            targets = (hi[2], 1), (hi[2], 2), (hi[1], 3), (hi[0], 4)
        else:
            targets = (null, 1), (null, 2), (hi[1], 3), (hi[0], 4), (hi[2], 5)
        for f, t in targets:
            os.dup2(f, t)
        os.closerange(len(targets) + 1 if candidate else 6, 65536)
        if mntns and candidate:
            must(libc.unshare(CLONE_NEWNS), 'unshare')
            must(libc.mount(b'tmpfs', b'/tmp', b'tmpfs', MS_NOSUID | MS_NODEV,
                            b'size=%dm,nr_inodes=2048,mode=1777' % tmp), 'mount /tmp')
        os.chdir('/tmp' if mntns else '/')
        if drop:
            libc.prctl(PR_SET_SECUREBITS, 0x2f, 0, 0, 0)
        if uids:
            user = config['uid_base'] + slot + 1
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        if drop:
            header = struct.pack('<Ii', 0x20080522, 0)
            must(libc.capset(header, b'\0' * 24), 'capset')
        for what, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory << 20),
                            (resource.RLIMIT_FSIZE, fsize << 20), (resource.RLIMIT_NOFILE, files),
                            (resource.RLIMIT_NPROC, processes), (resource.RLIMIT_MEMLOCK, 0),
                            (resource.RLIMIT_MSGQUEUE, 0), (resource.RLIMIT_SIGPENDING, 64)):
            hard = resource.getrlimit(what)[1]
            if hard != resource.RLIM_INFINITY:
                limit = min(limit, hard)
            resource.setrlimit(what, (limit, limit))
        must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'no_new_privs')
        if landlock:
            landlock.restrict()
        if prog:
            must(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(prog), 0, 0), 'seccomp')

    def job(request, fds):
        try:
            os.setsid()
            enter(*REQUEST.unpack(request), fds)
            size = os.fstat(4).st_size
            payload = b''
            while len(payload) < size:
                b = os.pread(4, size - len(payload), len(payload))
                if not b:
                    break
                payload += b
            os.close(4)
        except BaseException as e:
            try:
                os.write(2, ('%s: %s' % (type(e).__name__, e)).encode())
            finally:
                os._exit(120)
        try:
            gc.enable()
            run(payload)
        except MemoryError:
            os._exit(121)
        except BaseException:
            os._exit(122)
        os._exit(0)

    warm()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.collect()
    gc.freeze()
    gc.disable()
    children = {}
    poll = select.poll()
    poll.register(3, select.POLLIN)
    control.send(struct.pack('<7I', READY, landlock is not None, *([0] * 5)) + sys.version.split()[0].encode())
    while True:
        for fd, _ in poll.poll():
            if fd == 3:
                request, fds, _, _ = socket.recv_fds(control, 256, 4)
                if len(request) != REQUEST.size or len(fds) != 3:
                    for pid, _ in children.values():
                        os.kill(pid, signal.SIGKILL)
                    os._exit(0)
                slot = REQUEST.unpack(request)[0]
                if pidns:
                    must(libc.unshare(CLONE_NEWPID), 'unshare pid')
                pid = os.fork()
                if pid == 0:
                    job(request, fds)
                if pidns:
                    must(libc.setns(me, CLONE_NEWPID), 'setns pid')
                for f in fds:
                    os.close(f)
                p = os.pidfd_open(pid)
                children[p] = pid, slot
                poll.register(p, select.POLLIN)
                socket.send_fds(control, [struct.pack('<7I', STARTED, slot, 0, 0, 0, 0, 0)], [p])
            else:
                pid, slot = children.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                _, status, use = os.wait4(pid, 0)
                control.send(struct.pack('<7I', EXITED, slot, status, int(use.ru_utime * 1e6), int(use.ru_stime * 1e6),
                                         use.ru_maxrss, 0))


main()
