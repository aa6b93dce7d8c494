"""What the jobs share that steer a running model: clamp, generate, entropy, attributes."""
