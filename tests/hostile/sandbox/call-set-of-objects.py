# task: pair
# expect: bad_return
# bench: stdio.yaml
def pair(a, b):
    return {object()}
