"""Thousands of designs: the sweep file, the store of its results, and what is read from it."""
