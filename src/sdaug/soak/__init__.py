"""Long proofs, each run in full by `make soak` and in small by the tests."""
