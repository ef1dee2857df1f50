# task: HumanEval/53
# expect: output_limit
def add(x, y):
    while True:
        print('\x00\x1b[2J' * 1000)
