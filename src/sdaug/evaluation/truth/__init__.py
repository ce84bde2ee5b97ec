"""Is a view right? Compared with the true view of a head at known pose, and with the pose that was asked for."""
