"""python -m thalweg."""

from .cli import main

if __name__ == "__main__":
    main()
