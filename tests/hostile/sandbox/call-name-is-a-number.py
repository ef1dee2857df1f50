# task: pair
# expect: no_entry_point
# bench: stdio.yaml
pair = 5
