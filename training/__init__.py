"""Trains codellama's built-in model, `tiny`, from CPython's standard library. See README.md."""
