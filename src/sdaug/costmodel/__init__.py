"""What Stable Diffusion 1.5 costs, counted and not measured: floating point operations, bytes moved, memory held."""
