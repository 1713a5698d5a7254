"""`python -m workloads` is `gmemsim`."""

from workloads.cli import main

if __name__ == "__main__":
    main()
