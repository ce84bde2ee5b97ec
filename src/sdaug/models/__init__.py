"""The weights that the product can use: which there are, fetching them, and whether they are still what they were."""
