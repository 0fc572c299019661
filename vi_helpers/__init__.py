"""The code behind the book *Variational Inference*.

Rooms, lowest first; a room may import only rooms above it in this list (``tests/unit/test_layers.py``):

``validation``   complain at the door
``grading``      marks for coursework; the data of one student
``numerics``     stable sums, softplus, expectations, grids
``divergences``  closed-form KL divergences; KL on a grid
``datasets``     generators and small embedded samples
``inference``    algorithms that take callables
``models``       one model, one file
``plots``        style, palette, one file a kind of figure
``explorers``    wiring only: compute below, draw in plots, slide here
``reporting``    numbers that the prose quotes

``import vi_helpers`` itself pulls neither torch nor matplotlib nor widgets: import the room you need.
"""

__version__ = "0.1.0"
