# task: upper
# expect: wrong_answer
# bench: stdio.yaml
print('9' * 4999 + 'e9999')
print('1e9999')
