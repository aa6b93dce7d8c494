"""The jobs that compute what NeuronDB stores: torch lives here, one module per stage."""
