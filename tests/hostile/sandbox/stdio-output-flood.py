# task: upper
# expect: output_limit
# bench: stdio.yaml
while True:
    print('x' * 60000)
