# task: Stream/uniq
# expect: bad_return
# bench: stream.yaml
def uniq(xs):
    return [object(), object()]
