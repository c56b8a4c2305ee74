"""An opened model rebuilt with the same weights: channels last, with names that can be exported, at another size.

Not here: reading files (`formats`). What is rebuilt has to answer as before, see `equivalence`.
"""
