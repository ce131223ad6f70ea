"""Mail authentication, pure: signatures and checks as functions of bytes, keys and DNS answers."""
