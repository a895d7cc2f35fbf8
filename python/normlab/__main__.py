"""Makes `python -m normlab` work."""

from normlab.cli import main

if __name__ == "__main__":
    main()
