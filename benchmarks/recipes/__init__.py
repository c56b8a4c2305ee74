"""What `benchmarks/training.py` compares: recipes as they are usually written, graftwork, and floors.

One module per family of contestants. A contestant is a function that trains and returns how to evaluate what it has
trained; it runs in a process of its own. `contestants` names them all, and imports none of them.
"""
