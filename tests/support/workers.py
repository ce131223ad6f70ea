"""Clients beside each other."""

import threading

from waiting import PATIENCE


class Workers:
    """Runs functions in threads and raises what they raised."""

    def __init__(self):
        self.threads, self.errors = [], []

    def run(self, function, *arguments):
        def guarded():
            try:
                function(*arguments)
            except BaseException as error:
                self.errors.append(error)
                raise

        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        thread.start()

    def join(self, seconds=PATIENCE):
        for thread in self.threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a client hangs"
        assert not self.errors, self.errors
