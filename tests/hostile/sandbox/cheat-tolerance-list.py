# task: Stream/mean
# expect: wrong_answer
# bench: stream.yaml
def mean(xs):
    return [sum(xs) / len(xs)]
