"""One simulated trial, or one person's way through it, told day by day."""
