# task: HumanEval/53
# expect: timeout_cpu
def add(x, y):
    while True:
        pass
