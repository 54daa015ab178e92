"""Scripts that made the numbers stored in the package: python -m tools.NAME. No test runs them at full length."""
