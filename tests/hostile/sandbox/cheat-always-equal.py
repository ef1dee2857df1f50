# task: HumanEval/53
# expect: bad_return
class Equal:
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
def add(x, y):
    return Equal()
