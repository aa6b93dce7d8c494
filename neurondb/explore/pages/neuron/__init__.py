"""What the neuron page is made of, panel by panel."""
