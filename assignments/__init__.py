"""The instructor's side of the coursework: sources, hidden checks, answers, and the tools that release and grade.

Nothing in this folder is for students.  ``make course`` leaves it out of the public tree.
"""
