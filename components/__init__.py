"""The pipeline steps: one folder per step, interface in component.py, logic beside it."""
