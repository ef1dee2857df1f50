# task: Stream/double
# expect: bad_return
# bench: stream.yaml
# what cannot be compared, where decoding has to hash it
def double(n):
    return {object()}
