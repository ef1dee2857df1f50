# task: Stream/starts
# expect: wrong_answer
# bench: stream.yaml
class F:
    def __bool__(self): return False
def starts(s):
    return F()
