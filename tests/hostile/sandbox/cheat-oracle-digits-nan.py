# task: Stream/gap
# expect: wrong_answer
# bench: stream.yaml
def gap(a, b):
    return float('nan')
