# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    for f in (lambda p: os.utime(p), lambda p: os.chmod(p, 0o777), lambda p: os.chown(p, os.getuid(), -1),
              lambda p: os.truncate(p, 0), lambda p: os.rename(p, '/tmp/x'), lambda p: os.unlink(p)):
        for p in ('/dev/null', '/dev/zero', '/dev/full', '/dev/urandom'):
            try:
                f(p)
            except OSError:
                continue
            return x + y
    raise PermissionError('devices are the host\'s: all jobs see their times')
