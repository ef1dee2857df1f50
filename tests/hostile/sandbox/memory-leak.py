# task: HumanEval/53
# expect: memory
def add(x, y):
    a = []
    while True:
        a.append(bytearray(1 << 20))
