# task: Stream/double
# expect: bad_return wrong_answer
# bench: stream.yaml
def double(n):
    return [2 * n, object()]
