"""Other right answers and typical wrong ones, one file an assignment: they test the checks."""
