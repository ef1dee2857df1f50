# task: pair
# expect: wrong_answer bad_return
# bench: stdio.yaml
class E:
    def __eq__(self, o): return True
def pair(a, b):
    return E()
