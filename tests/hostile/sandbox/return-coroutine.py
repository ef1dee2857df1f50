# task: HumanEval/53
# expect: bad_return
async def add(x, y):
    return x + y
