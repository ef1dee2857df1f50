# task: HumanEval/53
# expect: bad_return
class S(str):
    def __eq__(self, o): return True
def add(x, y):
    return S('')
