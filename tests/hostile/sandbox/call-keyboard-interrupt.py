# task: pair
# expect: exception
# bench: stdio.yaml
def pair(a, b):
    raise KeyboardInterrupt
