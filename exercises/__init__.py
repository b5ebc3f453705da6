"""What learners solve: one folder a chapter, and the engine that checks their answers.

Importing the package loads none of its modules, so that texts and the record can be read without
torch. Chapters begin with `from exercises.engine import check, hint, solution, use`.
"""
