# task: upper
# expect: wrong_answer
# bench: stdio.yaml
print('AB')
