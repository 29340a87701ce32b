"""The pages of docs/ that are written by hand say what the program says."""
