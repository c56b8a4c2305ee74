"""Running a pipeline on this machine: a process or container per step, results kept, the old ones cleared away.

What runs is in `pipelines`; clusters are in `kubeflow`.
"""
