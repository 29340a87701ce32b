"""Proof by force: processes killed, disks filled, locks held, clocks set back, the power cut."""
