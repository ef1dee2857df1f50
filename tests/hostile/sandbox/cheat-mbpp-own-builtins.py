# task: 11
# expect: wrong_answer
# bench: mbpp
def remove_Occ(s, c):
    return ''
def str(*a): return 'heo'
len = set = sorted = isinstance = all = lambda *a: True
__builtins__ = {'AssertionError': SystemExit}
