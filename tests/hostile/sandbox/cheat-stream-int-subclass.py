# task: Stream/double
# expect: bad_return
# bench: stream.yaml
class I(int):
    def __eq__(self, o): return True
def double(n):
    return I(0)
