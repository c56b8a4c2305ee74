"""Kubeflow Pipelines: pipelines compiled for a site, uploaded, run, followed and scheduled."""
