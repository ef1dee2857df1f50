# task: HumanEval/53
# expect: memory
def add(x, y):
    return len(bytearray(1 << 40))
