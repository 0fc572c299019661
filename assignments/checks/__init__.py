"""Hidden checks, one file an assignment: never released."""
