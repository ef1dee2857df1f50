# task: HumanEval/53
# expect: exception
import os, sys
def add(x, y):
    for p in ('/proc/self/exe', '/usr/bin/python3', os.path.realpath('/usr/bin/python3'), '/apr/zygote.so'):
        for mode in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            try:
                os.open(p, mode)
            except OSError:
                continue
            return x + y
    raise PermissionError('no program can be written')
