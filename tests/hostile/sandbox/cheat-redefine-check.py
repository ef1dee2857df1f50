# task: HumanEval/53
# expect: wrong_answer
def add(x, y):
    return 0
def check(candidate):
    return None
candidate = check
METADATA = {}
