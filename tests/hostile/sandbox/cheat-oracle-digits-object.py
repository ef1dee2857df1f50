# task: Stream/gap
# expect: bad_return
# bench: stream.yaml
class E:
    def __eq__(self, o): return True
def gap(a, b):
    return E()
