# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    for target in ('/etc/passwd', '/proc/1/root/etc/passwd', '../../../../etc/passwd', '/usr/bin/python3', '/dev/null'):
        for link in (os.symlink, os.link):
            p = '/tmp/l%d' % len(os.listdir('/tmp'))
            try:
                link(target, p)
                with open(p, 'a') as f:
                    f.write('x')
            except OSError:
                continue
            if target != '/dev/null':
                return x + y
    raise PermissionError('what a link leads to is the jail\'s')
