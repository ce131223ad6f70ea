"""Speed and memory against peers on this machine, in the same run: what is published is what was measured."""
