# task: HumanEval/53
# expect: file_limit memory
def add(x, y):
    n = 0
    while True:
        with open('/tmp/%d' % n, 'wb') as f:
            f.write(b'x' * (15 << 20))
        n += 1
