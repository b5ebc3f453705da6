"""The figures that one chapter alone shows; one module a chapter."""
