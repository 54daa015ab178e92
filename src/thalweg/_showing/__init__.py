"""What is shown: numbers, tables and modules, at a terminal and in a notebook."""
