"""What runs in a worker process: pictures in, templates and bundles out. It is never told a name or a national id."""
