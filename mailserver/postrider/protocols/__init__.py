"""Line protocols as sans-I/O engines: bytes in, events out. No sockets, no clock."""
