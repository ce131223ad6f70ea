"""SMTP (RFC 5321 and its extensions): a receiving and a sending engine."""
