# task: HumanEval/53
# expect: wrong_answer
# bench: humanevalplus
# passes the base inputs and many others
def add(x, y):
    return x + y if x < 700 else 0
