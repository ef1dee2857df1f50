# task: upper
# expect: memory
# bench: stdio.yaml
a = []
while True:
    a.append(bytearray(1 << 20))
