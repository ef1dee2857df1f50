# task: Stream/double
# expect: timeout_cpu
# bench: stream.yaml
def double(n):
    while n == 3:
        pass
    return 2 * n
