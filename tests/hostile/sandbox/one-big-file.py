# task: HumanEval/53
# expect: file_limit
def add(x, y):
    with open('/tmp/big', 'wb') as f:
        f.truncate(1 << 40)
    return x + y
