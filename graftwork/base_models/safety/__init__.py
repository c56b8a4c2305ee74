"""Whether a file does harm when it is opened: runs code, reads other files, or takes all memory.

Not here: opening anything. Each kind of file in `formats` says which of these checks it needs.
"""
