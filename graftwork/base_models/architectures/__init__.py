"""The networks of keras.applications: building them, recognising them, what their weights were trained with.

Not here: networks out of files (`formats`); that one is recognised changes nothing in it.
"""
