# task: 11
# expect: no_entry_point
# bench: mbpp
# not even callable
remove_Occ = object()
