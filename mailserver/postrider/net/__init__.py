"""The network as ports want it: DNS, dialling, TLS contexts."""
