# task: Stream/root
# expect: wrong_answer
# bench: stream.yaml
def root(c):
    return range(3)
