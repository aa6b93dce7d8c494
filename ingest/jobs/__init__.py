"""The jobs: what a command asks for is computed and stored or handed back, one module a command."""
