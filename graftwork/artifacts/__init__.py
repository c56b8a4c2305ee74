"""The contracts between steps: what each folder that passes from one step to the next holds."""
