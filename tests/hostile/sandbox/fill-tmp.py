# task: HumanEval/53
# expect: file_limit
def add(x, y):
    for i in range(1000):
        with open('/tmp/%d' % i, 'wb') as f:
            f.write(bytes(8 << 20))
    return x + y
