# task: Stream/uniq
# expect: wrong_answer
# bench: stream.yaml
def uniq(xs):
    return [[1], [2]]
