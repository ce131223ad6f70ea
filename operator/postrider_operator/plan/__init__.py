"""From World to Desired, purely: what should exist, what every status should say. Never talks to anything."""
