# zygote - a warm Python inside the jail; the extension module forks it, one process a job
#
# Descriptors: 3 control socket, 4 the two seccomp programs (u32 length before each), 6 /proc/sys/kernel if pid
# namespaces can be capped.  The zygote itself never reads what a job is given.
import gc
import os
import sys


def warm():
    """Import what solutions import, and compile and run a little of everything, so that jobs start warm."""
    import importlib
    # what 1,566 solutions of HumanEval and MBPP import in more than one of 1,000 cases, and what that brings along;
    # each further module costs every job, since a fork copies the page tables of all that is in memory
    for m in ('array bisect cmath collections copy datetime enum functools heapq itertools math operator random re '
              'string time typing ' + WARM).split():
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
    warm_role()
    import random
    random.seed(0)   # the same start for every job of every run


def main():
    global zygote
    where, config = sys.argv[1], [int(v) for v in sys.argv[2].split(',')]
    candidate, pidns, mntns, uids, uid_base, own_userns, drop, landlock, pid_max = config
    sys.argv[:] = ['']
    sys.orig_argv[:] = ['']   # it holds this text
    os.environ.pop('LD_BIND_NOW', None)   # jail.c: symbols bound once, not in every child
    sys.path.insert(0, where)
    import zygote
    del sys.modules['zygote']
    sys.path[:] = [p for p in sys.path if p and p != where and 'packages' not in p]
    program = []
    for _ in range(2):
        n = int.from_bytes(os.read(4, 4), 'little')
        program.append(os.read(4, n))
        assert len(program[-1]) == n
    os.close(4)
    warm()
    gc.collect()
    gc.freeze()
    gc.disable()
    # setns() with a pidfd of our own leads back from a job's pid namespace to ours
    me = os.pidfd_open(os.getpid()) if pidns else -1
    held = zygote.setup(candidate, mntns, uids, uid_base, own_userns, drop, landlock, me, pid_max, *program)
    zygote.serve(me, held, sys.version.split()[0])
    try:
        gc.enable()
        run()
    except MemoryError:
        os._exit(121)
    except BaseException:
        os._exit(122)
    os._exit(0)


main()
