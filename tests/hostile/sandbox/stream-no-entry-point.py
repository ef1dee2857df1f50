# task: Stream/double
# expect: no_entry_point
# bench: stream.yaml
double = 5
