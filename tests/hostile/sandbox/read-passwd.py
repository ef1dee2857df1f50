# task: HumanEval/53
# expect: exception
def add(x, y):
    open('/etc/passwd').read()
    return x + y
