"""The contracts between steps: what each folder that passes from one step to the next holds.

Which step writes it, and what is done with it, is in `components`; how it appears whole, in `storage`.
"""
