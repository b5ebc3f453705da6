"""What every chapter of the course shares.

Importing the package loads none of its modules, so it costs nothing. Chapters import what they
need by name: `from utils import data, training`.
"""
