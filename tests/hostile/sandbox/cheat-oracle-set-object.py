# task: Stream/uniq
# expect: bad_return
# bench: stream.yaml
class S:
    def __iter__(self): return iter([1, 2])
    def __eq__(self, o): return True
def uniq(xs):
    return S()
