"""`python -m neurondb`."""

from neurondb.cli import main

if __name__ == "__main__":
    main()
