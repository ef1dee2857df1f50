# task: HumanEval/53
# expect: exception
class E(Exception):
    @property
    def errno(self):
        raise SystemExit
    def __str__(self):
        raise SystemExit
def add(x, y):
    raise E
