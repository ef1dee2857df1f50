# task: 11
# expect: no_entry_point
# bench: mbpp
remove_Occ = 5
