# task: Stream/double
# expect: pass
# bench: stream.yaml
# equal as Python says, in other bytes: each is compared by value
def double(n):
    return complex(2.0 * n)
