"""Numbers, tables and modules as a terminal shows them, and a notebook."""
