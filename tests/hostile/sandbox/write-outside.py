# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    for p in ('/x', '/usr/x', '/dev/x', '/etc/x', '/usr/bin/python3'):
        try:
            os.open(p, os.O_WRONLY | os.O_CREAT)
        except OSError:
            continue
        return x + y
    raise PermissionError('nothing outside /tmp can be written')
