# task: HumanEval/53
# expect: bad_return
class Meta(type):
    def __eq__(cls, other):
        return True
    __hash__ = type.__hash__
class X(metaclass=Meta):
    def __eq__(self, other): return True
    __class__ = int
def add(x, y):
    return X()
