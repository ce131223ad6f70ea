"""A Postfix of our own: an instance on a loopback port that delivers into a Maildir (root, and Debian's postfix)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "postfix.test"

MAIN = """\
compatibility_level = 3.7
queue_directory = {root}/queue
data_directory = {root}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
myhostname = mx.{domain}
mydestination =
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:box/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
message_size_limit = 104857600
mailbox_size_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtp_host_lookup = native
smtp_tls_security_level = may
transport_maps = inline:{{ {transports} }}
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str:
    """What this machine lacks to run one, "" when nothing."""
    if shutil.which("postfix") is None:
        return "Postfix is not installed (Debian: postfix)"
    return "" if os.geteuid() == 0 else "Postfix needs root"


@dataclass(slots=True)
class Postfix:
    """One instance below `root`, which its users must be able to enter."""

    root: Path
    port: int = 0
    #: Domain to "[host]:port" for mail it passes on.
    transports: tuple[tuple[str, str], ...] = ()

    @property
    def maildir(self) -> Path:
        """Where mail for anybody at DOMAIN lies."""
        return self.root / "mail" / "box"

    @property
    def pid(self) -> int:
        """The process id of its master."""
        return int((self.root / "queue/pid/master.pid").read_text())

    def start(self) -> Postfix:
        """Write its configuration and start it; returns once it answers."""
        owner = pwd.getpwnam("postfix")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))
            self.port = probe.getsockname()[1]
        config = self.root / "etc"
        for name in ("etc", "queue", "data", "mail"):
            (self.root / name).mkdir(parents=True)
        os.chown(self.root / "data", owner.pw_uid, owner.pw_gid)
        os.chown(self.root / "mail", owner.pw_uid, owner.pw_gid)
        transports = ", ".join(f"{{ {domain} = smtp:{host} }}" for domain, host in self.transports)
        values = {"root": self.root, "domain": DOMAIN, "uid": owner.pw_uid, "gid": owner.pw_gid}
        (config / "main.cf").write_text(MAIN.format(transports=transports or "{ x.invalid = smtp: }", **values))
        (config / "master.cf").write_text(MASTER.format(port=self.port))
        self._command("start")
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return self

    def stop(self) -> None:
        """End all its processes."""
        self._command("stop")

    def _command(self, verb: str) -> None:
        done = subprocess.run(["postfix", "-c", self.root / "etc", verb], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"postfix {verb}: {done.stderr.strip() or done.stdout.strip()}")
