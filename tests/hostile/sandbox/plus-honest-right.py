# task: HumanEval/53
# expect: pass
# bench: humanevalplus
def add(x, y):
    return x + y
