"""Explorers: wiring only.  Compute below, draw in ``plots``, slide here.

``Sweep`` slides over frames drawn beforehand; ``Live`` computes in the page.  Both work in Jupyter and, with no
kernel, on the built page.  A chapter's explorers are in the file of the chapter's name.
"""
