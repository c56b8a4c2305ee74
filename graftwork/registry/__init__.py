"""Versions of a model, and which of them serves: kept in a folder or bucket, safe for many writers at once.

Whether a version should serve is for `gate`; its answers are in `prediction`.
"""
