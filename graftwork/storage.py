"""Local paths and gs:// behind one small interface."""
