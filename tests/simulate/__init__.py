"""Whole runs in one thread, on a network, a clock and a disk that are played from a seed; see ``__main__``."""
