"""What can be claimed of figures measured on people. Pure numerics, which know of no camera and no network."""
