# task: HumanEval/53
# expect: exception
def add(x, y):
    for pid in ('1', '2', 'self'):
        for name in ('mem', 'maps', 'environ', 'fd/3'):
            try:
                open('/proc/%s/%s' % (pid, name), 'rb').read(1)
            except OSError:
                continue
            return x + y
    raise PermissionError('there is no /proc')
