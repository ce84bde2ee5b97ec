"""Making a face: the head turned, its control image drawn, diffusion run over it."""
