# task: upper
# expect: exception file_limit
# bench: stdio.yaml
with open('/tmp/big', 'wb') as f:
    f.truncate(1 << 40)
