"""Every architecture of keras.applications survives being saved by Keras 3 and opened.

One at a time, and the files go at once: the largest is 1.4 GB, and is in memory twice.
"""
