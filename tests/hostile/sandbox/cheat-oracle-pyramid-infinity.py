# task: Stream/pyramid
# expect: wrong_answer
# bench: stream.yaml
def pyramid(b, h):
    return float('inf')
