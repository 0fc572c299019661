"""Pictures: every function takes arrays and an ``ax``, draws one kind of thing, and returns the ``ax``."""
