# task: HumanEval/3
# expect: pass
r = [0]
def below_zero(operations):
    s = 0
    for x in operations:
        s += x
        if s < 0:
            return True
    return False
