# task: HumanEval/53
# expect: timeout_cpu
import re
def add(x, y):
    return re.match(r'(a+)+$', 'a' * 60 + 'b')
