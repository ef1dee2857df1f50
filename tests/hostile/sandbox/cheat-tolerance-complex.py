# task: Stream/mean
# expect: wrong_answer
# bench: stream.yaml
# near, and of another type
def mean(xs):
    return complex(sum(xs) / len(xs), 1e-9)
