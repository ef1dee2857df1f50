# task: Stream/root
# expect: bad_return
# bench: stream.yaml
class R:
    def __pow__(self, n): return 0
    def __rmul__(self, n): return 0
    __mul__ = __add__ = __radd__ = __rmul__
def root(c):
    return R()
