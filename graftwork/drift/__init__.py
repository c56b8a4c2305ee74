"""Whether the images of now are still like those that the champion was trained on: pure functions.

Reading and embedding the images is the step `check_data`; whether drift stops a promotion is for `gate`.
"""
