# task: 11
# expect: wrong_answer bad_return
# bench: mbpp
class C:
    def __call__(self, s, c): return E()
class E:
    def __eq__(self, o): return True
remove_Occ = C()
