# task: upper
# expect: timeout_cpu
# bench: stdio.yaml
while True:
    pass
