# task: Stream/double
# expect: bad_return
# bench: stream.yaml
class Equal:
    def __eq__(self, o): return True
    def __hash__(self): return 0
def double(n):
    return Equal()
