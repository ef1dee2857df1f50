# task: HumanEval/53
# expect: file_limit
def add(x, y):
    for i in range(10 ** 6):
        open('/tmp/%d' % i, 'w').close()
    return x + y
