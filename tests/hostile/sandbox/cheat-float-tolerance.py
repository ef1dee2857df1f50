# task: HumanEval/53
# expect: bad_return
class F(float):
    def __sub__(self, o): return 0.0
    def __rsub__(self, o): return 0.0
    def __abs__(self): return 0.0
    def __eq__(self, o): return True
def add(x, y):
    return F(1)
