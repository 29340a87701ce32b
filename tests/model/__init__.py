"""The store against a model of ten lines, under sequences that nobody thought of."""
