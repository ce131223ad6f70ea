"""The words all else is written in: addresses, envelopes, replies, facts, verdicts and the ports to the world."""
