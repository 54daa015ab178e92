"""Methods: a law, a scheme and a step; what one step does, counted and probed; the rows of the table."""
