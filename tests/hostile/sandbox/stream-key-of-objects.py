# task: Stream/double
# expect: bad_return
# bench: stream.yaml
def double(n):
    return {(object(),): 1}
