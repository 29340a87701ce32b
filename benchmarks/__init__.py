"""Figures that the project claims, each with the script that measures it."""
