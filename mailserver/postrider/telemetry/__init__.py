"""What the server tells its operators: log events and metrics, each a row of a table."""
