"""Kubeflow Pipelines: pipelines compiled for a site, uploaded, run, followed and scheduled.

What runs is in `pipelines`; on this machine it runs in `running`.
"""
