"""One module or folder for each kind of file that a base model comes in: how to tell it, and how to open it.

Not here: whether a file is harmful (`safety`), and what is changed in a model once it is open (`conversion`).
"""
