"""The command `graftwork`: options in, text or JSON out; a thin layer over what `import graftwork` offers.

Not here: what a command does, and how a run looks in the terminal (`reporting.display`).
"""
