"""How fast is it on this machine? One file a bench; every one times something known beside its own."""
